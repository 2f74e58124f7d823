"""What is not moved, and what is found to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities, Ordering
from distqueue.commands import (
    Ack,
    Cancel,
    Command,
    Fence,
    LoadTask,
    Put,
)
from distqueue.errors import Moved, MoveFailed, Refused, StoreFull, Unsupported
from distqueue.fences import EVERY
from distqueue.outcomes import expect
from distqueue.results import Outcome, Stored
from distqueue.transfer.ends import End, check_ends
from distqueue.transfer.moving import move_store
from distqueue.transfer.undoing import undo_move
from tests.conformance_suite.broken import Wrapper

from .conftest import Store, Stores, everything, fences
from .movers import Alters, end, halfway, move

# --- Refused ----------------------------------------------------------------------------------------


def test_a_queue_that_has_tasks_is_not_mixed_with_another(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.put("a")
    source.put("b", queue="other")
    target.put("mine", queue="other")
    with pytest.raises(Refused, match=r"queue other of .* has tasks \(1\)"):
        move(source, target)
    assert (fences(source), fences(target)) == ({}, {})
    target.do(Ack(queue="other", receipt=target.claim(queue="other")[0].receipt))
    move(source, target)
    assert [each.task_id for each in target.claim(9, "other")] == ["b"]


def test_tasks_that_come_in_the_last_moment_are_not_mixed_either(make: Stores) -> None:
    source, target = make("json"), make("json")
    source.put("a")

    class Late(Wrapper):
        def apply(self, commands: Sequence[Command]) -> list[Outcome]:
            if isinstance(commands[0], Fence):
                self.inner.apply([Put(queue="default", task_id="mine", data=b"1")])
            return self.inner.apply(commands)

    with pytest.raises(Refused, match="has tasks"):
        move_store(end(source), End(Late(target.broker), target.url))
    assert (fences(source), fences(target)) == ({}, {})
    source.put("b")
    assert [each.task_id for each in target.claim(9)] == ["mine"]


def test_a_move_elsewhere_is_refused_until_the_first_is_finished(make: Stores) -> None:
    source, target, third = make("json"), make("memory"), make("memory")
    source.put("a")
    halfway(source, target)
    with pytest.raises(Moved, match=r"being moved to .*--undo"):
        move(source, third)
    with pytest.raises(Moved, match="is being filled"):
        move(target, third)
    with pytest.raises(Moved, match="is being filled"):
        move(target, source)
    with pytest.raises(Moved, match="is being filled"):
        move(third_with_task(third), target)
    move(source, target)
    with pytest.raises(Moved, match="has moved to"):
        move(source, third)
    with pytest.raises(Moved, match="has itself moved"):
        move(third, source)


def third_with_task(store: Store) -> Store:
    store.put("x")
    return store


def test_a_store_is_not_moved_to_itself(make: Stores) -> None:
    one = make("json")
    again = Store(one.url)
    with pytest.raises(Refused, match="same store"):
        check_ends(end(one), end(one))
    with pytest.raises(Refused, match="same store"):
        check_ends(end(one), End(again.broker, "json:///another-name"))
    again.broker.close()


class Less(Wrapper):
    """Declares less than it has."""

    def __init__(self, inner: Broker, **less: object) -> None:
        super().__init__(inner)
        self._less = less

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(self.inner.capabilities, **self._less)


def test_what_the_destination_lacks_is_found_before_anything_is_fenced(make: Stores) -> None:
    source, target = make("json"), make("json")
    source.put("a")
    source.put("b", unique="key")
    with pytest.raises(Refused, match=r"task b .*unique"):
        move_store(end(source), End(Less(target.broker, unique=False), target.url))
    with pytest.raises(Refused, match=r"task a .*max_payload"):
        move_store(end(source), End(Less(target.broker, max_payload=3), target.url))
    with pytest.raises(Unsupported, match="distqueue export"):
        check_ends(end(source), End(Less(target.broker, fence=False), target.url))
    assert (fences(source), fences(target)) == ({}, {})
    source.do(Cancel(queue="default", task_id="b"))
    move_store(end(source), End(Less(target.broker, unique=False), target.url))


def test_what_the_destination_promises_less_is_named(make: Stores) -> None:
    source, target = make("json"), make("memory", dedup_window=60, dedup_max=7)
    less = check_ends(end(source), End(Less(target.broker, ordering=Ordering.SHARD), target.url))
    assert len(less) == 4
    assert "durability" in less[0]
    assert check_ends(end(target), end(source)) == []


def test_a_destination_that_remembers_less_gets_the_newest_ids(make: Stores) -> None:
    source, target = make("json"), make("json", dedup_max=3)
    source.put(*"abcdef")
    leases = source.claim(5)
    source.do(*[Ack(queue="default", receipt=each.receipt) for each in leases])
    (moved,) = move(source, target)
    assert moved.remembered == 3
    puts = [Put(queue="default", task_id=each, data=b"null") for each in "abcdef"]
    assert [expect(each, Stored).duplicate for each in target.do(*puts)] == [False] * 2 + [True] * 4


def test_a_full_destination_ends_the_move_and_loses_nothing(make: Stores) -> None:
    source, target = make("json"), make("json")
    source.put(*"abc")
    before = everything(source)

    class Full(Wrapper):
        def apply(self, commands: Sequence[Command]) -> list[Outcome]:
            if isinstance(commands[0], LoadTask):
                return [StoreFull("no room") for _ in commands]
            return self.inner.apply(commands)

    with pytest.raises(Refused, match=r"does not take task a .*no room.*--undo"):
        move_store(end(source), End(Full(target.broker), target.url))
    assert everything(source) == before
    move(source, target)
    assert everything(target) == before


@pytest.mark.parametrize(
    "change", [{"error": "else"}, {"attempt": 2}, {"place": 9}, {"data": msgspec.Raw(b"2")}], ids=[*"eapd"]
)
def test_a_copy_that_is_not_the_same_is_found_and_nothing_is_opened(
    make: Stores, change: dict[str, Any]
) -> None:
    source, target = make("json"), make("json")
    source.put(*"abc")

    def alter(load: LoadTask) -> LoadTask:
        record = load.record
        if record.task_id == "b":
            record = msgspec.structs.replace(record, **change)
        return msgspec.structs.replace(load, record=record)

    with pytest.raises(MoveFailed, match="b is not the same"):
        move_store(end(source), End(Alters(target.broker, alter), target.url))
    assert fences(source) == {"default": "frozen", EVERY: "draining"}
    assert fences(target) == {"default": "filling"}
    undo_move(end(source), end(target))
    move(source, target)


def test_a_task_that_is_missing_is_named(make: Stores) -> None:
    source, target = make("json"), make("json")
    source.put(*"abc")

    class Loses(Wrapper):
        def apply(self, commands: Sequence[Command]) -> list[Outcome]:
            kept = [
                each for each in commands if not (isinstance(each, LoadTask) and each.record.task_id == "b")
            ]
            answers = self.inner.apply(kept)
            return answers + answers[-1:] * (len(commands) - len(kept))

    with pytest.raises(MoveFailed, match=r"'ready': 3} here, {'ready': 2} there.*b is not there"):
        move_store(end(source), End(Loses(target.broker), target.url))


def test_an_order_that_is_not_the_same_is_found(make: Stores) -> None:
    source, target = make("json"), make("json")
    source.put(*"abc")

    class Reverses(Wrapper):
        def apply(self, commands: Sequence[Command]) -> list[Outcome]:
            if isinstance(commands[0], LoadTask):
                return self.inner.apply(commands[::-1])[::-1]
            return self.inner.apply(commands)

    with pytest.raises(MoveFailed, match="not their order"):
        move_store(end(source), End(Reverses(target.broker), target.url))
