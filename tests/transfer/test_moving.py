"""Moving queues between stores: what is there afterwards, and what becomes of what is out."""

from __future__ import annotations

import re

import pytest

from distqueue.commands import (
    Ack,
    Claim,
    Put,
    Release,
)
from distqueue.errors import Moved, TaskNotFound
from distqueue.fences import EVERY
from distqueue.ids import new_token
from distqueue.outcomes import expect
from distqueue.results import Settled, Stored
from distqueue.transfer.moving import move_store
from distqueue.transfer.undoing import empty_source

from .conftest import Store, Stores, everything, fences, queue_names
from .movers import end, move

pytestmark = pytest.mark.slow

# --- What is there afterwards ---------------------------------------------------------------------


def test_all_is_the_same_at_the_other_store(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.fill()
    before = everything(source)
    moved = move(source, target, now=True)
    assert everything(target) == before
    assert everything(source) == before
    assert {each.queue: (each.tasks, each.remembered) for each in moved} == {
        "default": (10, 2),
        "empty-and-paused": (0, 0),
        "paused": (2, 0),
    }
    assert fences(target) == {}
    assert set(fences(source).values()) == {"moved"}


def test_the_destination_goes_on_where_the_source_was(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.put("out", "acked", "a", "b")
    out, acked = source.claim(2)
    source.do(Ack(queue="default", receipt=acked.receipt))
    move(source, target, now=True)
    again = Put(queue="default", task_id="acked", data=b"null")
    assert expect(target.do(again)[0], Stored).duplicate
    target.put("new")
    expect(target.do(Release(queue="default", receipt=out.receipt))[0], Settled)
    assert [each.task_id for each in target.claim(9)] == ["out", "a", "b", "new"]


def test_who_comes_to_the_source_is_told_where_to_go(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.put("a")
    move(source, target)
    for command in (
        Put(queue="default", task_id="b", data=b"1"),
        Put(queue="new", task_id="b", data=b"1"),
        Claim(queue="default", token=new_token()),
        Claim(queue="new", token=new_token()),
    ):
        with pytest.raises(Moved, match=re.escape(target.url)):
            expect(source.do(command)[0], Stored)


def test_moving_again_changes_nothing_and_says_so(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.put("a", "b")
    move(source, target)
    target.do(Ack(queue="default", receipt=target.claim()[0].receipt))
    assert [(each.queue, each.is_old) for each in move(source, target)] == [("default", True)]
    assert [each.task_id for each in target.claim(9)] == ["b"]


def test_many_pages_are_moved(make: Stores) -> None:
    source, target = make("json"), make("sqlite")
    names = [f"t{number:05}" for number in range(5000)]
    source.put(*names[:4990])
    source.put(*names[4990:], data="x" * 700_000)
    leases = source.claim(2500)
    source.do(*[Ack(queue="default", receipt=each.receipt) for each in leases])
    seen: list[tuple[str, int, int]] = []
    (moved,) = move(source, target, on_progress=lambda *each: seen.append(each))
    assert (moved.tasks, moved.remembered) == (2500, 2500)
    assert [each.task_id for each in target.claim(9999)][:2490] == names[2500:4990]
    assert seen[-1] == ("verify default", 5000, 5000)
    assert ("copy default", 2500, 2500) in seen


def test_some_queues_move_alone(make: Stores) -> None:
    source, target = make("json"), make("memory")
    for queue in ("one", "two", "three"):
        source.put(f"a-{queue}", queue=queue)
    assert [each.queue for each in move(source, target, ["two", "one", "two"])] == ["two", "one"]
    assert fences(source) == {"one": "moved", "two": "moved"}
    source.put("b", queue="three")
    source.put("c", queue="new")
    assert queue_names(target) == ["one", "two"]
    with pytest.raises(TaskNotFound, match="no queue nope"):
        move(source, target, ["three", "nope"])
    assert "three" not in fences(source)


def test_a_store_without_queues_moves_too(make: Stores) -> None:
    source, target = make("json"), make("json")
    assert move(source, target) == []
    with pytest.raises(Moved):
        expect(source.do(Put(queue="new", task_id="a", data=b"1"))[0], Stored)
    target.put("a")


def test_the_source_can_be_emptied_afterwards(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.fill()
    before = everything(source)
    moved = move(source, target, now=True)
    empty_source(end(source), end(target), [each.queue for each in moved])
    assert everything(source) == {name: [False] for name in before}
    assert everything(target) == before
    assert all(each.is_old for each in move(source, target))
    with pytest.raises(Moved, match="has moved to"):
        expect(source.do(Put(queue="default", task_id="b", data=b"1"))[0], Stored)


def test_a_move_back_brings_what_happened_meanwhile(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.put("a", "b")
    move(source, target)
    target.do(Ack(queue="default", receipt=target.claim()[0].receipt))
    target.put("c")
    target.put("d", queue="new")
    now = everything(target)
    move(target, source)
    assert everything(source) == now
    assert fences(source) == {}
    assert set(fences(target).values()) == {"moved"}
    source.put("e", queue="newer")


# --- What is out ------------------------------------------------------------------------------------


def test_what_is_out_is_waited_for(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.put("a", "b")
    lease = source.claim()[0]
    seen: list[tuple[str, int, int]] = []

    def settle(what: str, done: int, total: int) -> None:
        seen.append((what, done, total))
        if what.startswith("wait"):
            assert fences(source) == {"default": "draining", EVERY: "draining"}
            then = (Put(queue="default", task_id="then", data=b"1"),)
            expect(source.do(Ack(queue="default", receipt=lease.receipt, then=then))[0], Settled)

    move(source, target, on_progress=settle)
    assert seen[0] == ("wait for tasks of default that are out", 0, 1)
    assert [what for what, _, _ in seen[1:]] == ["copy default", "verify default", "verify default"]
    assert [each.task_id for each in target.claim(9)] == ["b", "then"]


def test_what_is_out_can_be_taken_along(pair: tuple[Store, Store]) -> None:
    source, target = pair
    source.put("a", "b")
    lease = source.claim()[0]
    move(source, target, now=True)
    assert isinstance(source.do(Ack(queue="default", receipt=lease.receipt))[0], Moved)
    assert [each.task_id for each in target.claim(9)] == ["b"]
    expect(target.do(Ack(queue="default", receipt=lease.receipt))[0], Settled)


def test_what_is_out_is_settled_with_a_follow_up_for_a_queue_where_nothing_is(make: Stores) -> None:
    source, target = make("json"), make("sqlite")
    source.put("it", queue="b-work")
    source.put("other", queue="a-results")
    (lease,) = source.claim(queue="b-work")
    then = (Put.make("a-results", "then", b"1"),)

    def settle(what: str, done: int, total: int) -> None:
        if what.startswith("wait"):
            expect(source.do(Ack(queue="b-work", receipt=lease.receipt, then=then))[0], Settled)

    moved = move_store(end(source), end(target), on_progress=settle)
    assert {each.queue: each.tasks for each in moved} == {"a-results": 2, "b-work": 0}
