"""What was exported and imported is the same, and is exported the same."""

from __future__ import annotations

from pathlib import Path

from distqueue.commands import Ack, Put, Stats
from distqueue.outcomes import expect
from distqueue.results import Counted, Settled, Stored
from distqueue.transfer.lines import Counts

from .conftest import Store, lines


def test_an_imported_export_is_exported_the_same(store: Store, other: Store, tmp_path: Path) -> None:
    store.fill()
    first, second = tmp_path / "first", tmp_path / "second"
    counts = store.export(first)
    imported = other.import_(first)
    assert (imported.tasks, imported.remembered, imported.paused) == (12, 2, 2)
    assert (imported.duplicates, imported.refused, imported.is_whole) == (0, 0, True)
    assert other.export(second) == counts == Counts(tasks=12, remembered=2, paused=2)
    assert second.read_bytes() == first.read_bytes()


def test_every_state_is_in_the_export(store: Store, tmp_path: Path) -> None:
    store.fill()
    store.export(tmp_path / "out")
    states = {
        each["task"]["task_id"]: each["task"]["state"] for each in lines(tmp_path / "out") if "task" in each
    }
    assert {states[name] for name in states} == {"scheduled", "ready", "leased", "done", "dead"}
    assert states["done"] == "done"
    assert states["leased"] == "leased"


def test_an_import_is_in_the_store_after_it_is_opened_again(tmp_path: Path) -> None:
    store, other = Store("memory://"), Store(f"json:///{tmp_path}/Queue.json")
    store.fill()
    store.export(tmp_path / "first")
    other.import_(tmp_path / "first")
    other.broker.close()
    again = Store(other.url)
    again.export(tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == (tmp_path / "first").read_bytes()
    again.broker.close()
    store.broker.close()


def test_tasks_go_on_where_they_were(store: Store, other: Store, tmp_path: Path) -> None:
    store.put("out", "a", "b", priority=1)
    (out,) = store.claim()
    store.export(tmp_path / "out")
    other.import_(tmp_path / "out")
    assert [each.task_id for each in other.claim(9)] == ["a", "b"]
    expect(other.do(Ack(queue="default", receipt=out.receipt))[0], Settled)


def test_what_was_put_before_is_a_duplicate_after_the_move(
    store: Store, other: Store, tmp_path: Path
) -> None:
    store.put("gone", "here")
    store.do(Ack(queue="default", receipt=store.claim()[0].receipt))
    store.export(tmp_path / "out")
    other.import_(tmp_path / "out")
    puts = [Put(queue="default", task_id=each, data=b"null") for each in ("gone", "here")]
    assert [expect(each, Stored).duplicate for each in other.do(*puts)] == [True, True]


def test_a_paused_queue_stays_paused(store: Store, other: Store, tmp_path: Path) -> None:
    store.fill()
    store.export(tmp_path / "out")
    other.import_(tmp_path / "out")
    assert other.claim(queue="paused") == []
    queues = expect(other.do(Stats(queue="*"))[0], Counted).queues
    assert {each.queue for each in queues if each.paused} == {"paused", "empty-and-paused"}


def test_an_empty_store_has_an_export(store: Store, other: Store, tmp_path: Path) -> None:
    assert store.export(tmp_path / "out") == Counts()
    assert other.import_(tmp_path / "out").is_whole


def test_some_queues_are_exported_and_imported_alone(store: Store, other: Store, tmp_path: Path) -> None:
    store.put("a", queue="one")
    store.put("b", queue="two")
    store.put("c", queue="three")
    assert store.export(tmp_path / "out", ["one", "two", "two", "nowhere"]).tasks == 2
    assert other.import_(tmp_path / "out", ["two"]).tasks == 1
    assert [each.task_id for each in other.claim(9, "two")] == ["b"]
    assert other.claim(9, "one") == []
