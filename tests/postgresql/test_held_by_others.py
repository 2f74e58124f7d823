"""What somebody's open transaction holds keeps nobody else waiting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from msgspec.json import encode

from distqueue.broker import Broker
from distqueue.commands import Ack, Claim, Command, Extend, Put
from distqueue.errors import Held, StoreBusy
from distqueue.opening import open_broker
from distqueue.results import Claimed, Outcome, Settled, Stored
from distqueue_backends.postgresql import hint
from distqueue_backends.postgresql.writing import arrays
from tests.worker.conftest import Bench, wait_until

SCHEMA = "SELECT current_schema()"
WAITS = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    broker = open_broker(url, lock_timeout=0.3)
    broker.apply([Put.make("work", "first", b"1"), Claim(queue="work", token="first")])  # noqa: S106 - of a claim
    yield broker
    broker.close()


@pytest.fixture
def bench(url: str, tmp_path: Path) -> Iterator[Bench]:
    """The app of the tests of workers, in a schema."""
    bench = Bench(tmp_path, url)
    yield bench
    bench.close()


def put_open(other: psycopg.Connection, *puts: Put) -> None:
    """Put tasks in a transaction that stays open."""
    statement, columns = arrays(puts)
    other.execute(statement.replace("{}.", ""), (puts[0].queue, ["none"], 300.0, False, *columns))


def have_done(broker: Broker, *task_ids: str) -> None:
    """Let the ids of tasks be remembered."""
    broker.apply([Put.make("work", each, b"1") for each in task_ids])
    (outcome,) = broker.apply([Claim(queue="work", token="done", count=len(task_ids))])  # noqa: S106 - of a claim
    assert isinstance(outcome, Claimed)
    broker.apply([Ack(queue="work", receipt=lease.receipt) for lease in outcome.leases])


def claimed(outcomes: Sequence[Outcome]) -> list[str]:
    assert isinstance(outcomes[0], Claimed)
    return [lease.task_id for lease in outcomes[0].leases]


@pytest.mark.parametrize("held", [Put.make("work", "b", b"1"), Put.make("work", "x", b"1", unique="key")])
def test_the_others_of_a_call_are_stored(other: psycopg.Connection, broker: Broker, held: Put) -> None:
    put_open(other, held)
    wants = Put.make("work", "b", b"1", unique=held.options.unique)
    first, second, third = broker.apply([Put.make("work", "a", b"1"), wants, Put.make("work", "c", b"1")])
    assert (type(first), type(third)) == (Stored, Stored)
    assert isinstance(second, Held)
    assert "another transaction" in str(second)
    with pytest.raises(StoreBusy, match="nothing was stored"):
        broker.apply([wants])
    other.rollback()
    assert isinstance(broker.apply([wants])[0], Stored)


def test_what_is_held_of_settlements_is_settled_later(other: psycopg.Connection, broker: Broker) -> None:
    broker.apply([Put.make("work", "grouped", b"1", group="g"), Put.make("work", "free", b"1")])
    (outcome,) = broker.apply([Claim(queue="work", token="second", count=2)])  # noqa: S106 - of a claim
    assert isinstance(outcome, Claimed)
    acks: list[Command] = [Ack(queue="work", receipt=lease.receipt) for lease in outcome.leases]
    other.execute("SELECT FROM hidden FOR UPDATE")
    extends: list[Command] = [Extend(queue="work", receipt=lease.receipt) for lease in outcome.leases]
    assert [type(each) for each in broker.apply(extends)] == [Held, Held]
    other.rollback()
    put_open(other, Put.make("work", "next", b"1", group="g"))
    assert [type(each) for each in broker.apply([*extends, *acks])] == [Settled, Settled, Held, Settled]
    other.rollback()
    assert isinstance(broker.apply(acks[:1])[0], Settled)


def test_a_handler_is_done_though_its_group_is_held_when_it_ends(
    other: psycopg.Connection, bench: Bench
) -> None:
    payload = {"task": "until", "args": {"path": str(bench.directory / "go")}}
    task_id = bench.queue.put(payload, group="g", max_attempts=1).task_id
    worker = bench.start("-c", "2")  # it asks for more together with the ack
    bench.wait_for_notes(1)
    put_open(other, Put.make(bench.queue.name, "next", encode(payload), group="g"))
    bench.release()
    wait_until(lambda: "(until) could not be settled" in bench.log.read_text(), bench.log)
    other.commit()
    wait_until(lambda: bench.queue.find(task_id) is None and bench.queue.find("next") is None, bench.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert [note.task_id for note in bench.notes("begin")] == [task_id, "next"]


@pytest.mark.parametrize("ask_every", [hint.ASK_EVERY, 0.0])
def test_a_task_that_is_committed_late_is_not_passed_by(
    other: psycopg.Connection, broker: Broker, monkeypatch: pytest.MonkeyPatch, ask_every: float
) -> None:
    """Also if each claim asks who is putting, and none looks from the beginning."""
    monkeypatch.setattr(hint, "ASK_EVERY", ask_every)
    monkeypatch.setattr(hint, "LOOK_EVERY", 3600.0)
    put_open(other, Put.make("work", "late", b"1"))
    broker.apply([Put.make("work", f"t{number}", b"1") for number in range(200)])
    claim = Claim(queue="work", token="again-and-again", count=5)  # noqa: S106 - of a claim
    for _ in range(20):
        assert len(claimed(broker.apply([claim]))) == 5
    other.commit()
    assert claimed(broker.apply([claim]))[0] == "late"


def test_a_task_that_waits_for_a_key_is_not_passed_by(
    other: psycopg.Connection, broker: Broker, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its place before it has the key, which a third transaction gives up at last."""
    monkeypatch.setattr(hint, "ASK_EVERY", 0.0)
    monkeypatch.setattr(hint, "LOOK_EVERY", 3600.0)
    with psycopg.connect(postgres_url) as third, ThreadPoolExecutor(1) as threads:
        third.execute("SELECT set_config('search_path', %s, false)", other.execute(SCHEMA).fetchone())
        third.execute("SELECT take_key(q, 'key', 0) FROM queue WHERE name = 'work'")
        is_put = threads.submit(put_open, other, Put.make("work", "late", b"1", unique="key"))
        with psycopg.connect(postgres_url, autocommit=True) as server:
            while server.execute(WAITS, (other.info.backend_pid,)).fetchone() is None:
                assert not is_put.done()
        broker.apply([Put.make("work", f"t{number}", b"1") for number in range(200)])
        claim = Claim(queue="work", token="again-and-again", count=5)  # noqa: S106 - of a claim
        for _ in range(20):
            assert len(claimed(broker.apply([claim]))) == 5
        third.rollback()
        is_put.result()
    other.commit()
    assert claimed(broker.apply([claim]))[0] == "late"


def test_what_an_open_put_forgets_is_tidied_around(
    other: psycopg.Connection, postgres_url: str, url: str
) -> None:
    """The memory of an id is stale, and somebody's open transaction puts a task of this id."""
    broker = open_broker(url)
    have_done(broker, "a", "b")
    statement, columns = arrays([Put.make("work", "a", b"1")])
    assert (
        other.execute(statement.replace("{}.", ""), ("work", ["none"], 0.0, False, *columns)).fetchall() == []
    )
    with psycopg.connect(postgres_url) as tidying:
        tidying.execute(f"SET search_path = {url.rpartition('schema=')[2]}".encode())
        tidying.execute("SET lock_timeout = '1s'")
        tidying.execute("SELECT tidy(0, 0)")
        assert tidying.execute("SELECT tid FROM gone").fetchall() == [("a",)]
    other.rollback()
    assert broker.apply([Put.make("work", "a", b"1")]) == [Stored(task_id="a", duplicate=True)]
    broker.close()


def test_tidying_writes_nothing_to_what_it_keeps(other: psycopg.Connection, url: str) -> None:
    broker = open_broker(url)
    have_done(broker, "old", "young", "younger")
    other.execute("UPDATE gone SET at = at - 100 WHERE tid = 'old'")
    other.execute("SELECT tidy(50, 2)")
    other.commit()
    assert other.execute("SELECT tid, xmax::text FROM gone ORDER BY n").fetchall() == [
        ("young", "0"),
        ("younger", "0"),
    ]
    broker.close()
