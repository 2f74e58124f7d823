"""A move that is interrupted: the same one finishes it, or it is taken back; also between shards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from distqueue.commands import (
    Ack,
    Browse,
    Cancel,
    Command,
    Fence,
    LoadTask,
    Pause,
    Put,
    Reject,
)
from distqueue.errors import Moved, Refused
from distqueue.fences import EVERY, FenceLevel
from distqueue.outcomes import expect
from distqueue.results import Browsed, Fenced, Outcome, Settled
from distqueue.transfer.ends import End
from distqueue.transfer.moving import move_store
from distqueue.transfer.undoing import undo_move
from tests.conformance_suite.broken import Wrapper

from .conftest import Store, Stores, everything, fences, without_places
from .movers import SHARDED, Killed, Mortal, end, halfway, killed_at_every_third_call, move

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# --- Interrupted -------------------------------------------------------------------------------------


def test_a_move_killed_at_any_call_is_finished_by_the_same(
    pair: tuple[Store, Store], number_of_pair: int
) -> None:
    pair[0].fill()
    killed_at_every_third_call(*pair, everything, number_of_pair)


def test_a_move_killed_at_any_call_can_be_taken_back(pair: tuple[Store, Store], number_of_pair: int) -> None:
    source, target = pair
    source.fill()
    before = everything(source)
    taken_back = 0
    for dies_at in count(number_of_pair % 3, 3):
        calls = count()
        ends = [End(Mortal(each.broker, calls, dies_at), each.url) for each in (source, target)]
        try:
            move_store(ends[0], ends[1], now=True)
            break
        except Killed:
            if "moved" in fences(source).values():
                break
        if fences(source):
            undo_move(end(source), end(target))
            taken_back += 1
        assert everything(source) == before
        assert fences(source) == {}
        assert not set(fences(target).values())
        assert not any(content[:-1] for content in everything(target).values())
        source.put("still-open", queue="paused")
        source.do(Cancel(queue="paused", task_id="still-open"))
        before = everything(source)
    assert taken_back > 3


def test_an_undo_killed_at_any_call_is_finished_by_the_same(make: Stores) -> None:
    for dies_at in count():
        source, target = make("memory"), make("memory")
        source.fill()
        before = everything(source)
        halfway(source, target)
        calls = count()
        ends = [End(Mortal(each.broker, calls, dies_at), each.url) for each in (source, target)]
        try:
            undo_move(ends[0], ends[1])
            break
        except Killed:
            if fences(source):
                undo_move(end(source), end(target))
            assert everything(source) == before
            assert (fences(source), fences(target)) == ({}, {})
            move(source, target, now=True)
            assert everything(target) == before
    assert dies_at > 5


def test_what_an_undone_move_left_behind_is_not_mixed_with_what_moves_later(make: Stores) -> None:
    source, target = make("json"), make("json")
    source.put("a", "b")
    halfway(source, target)
    notes = [Fence(queue=queue, level=FenceLevel.NONE, note=target.url) for queue in ("default", EVERY)]
    for outcome in source.do(*notes):  # only here, not at the other end
        expect(outcome, Fenced)
    source.do(Ack(queue="default", receipt=source.claim()[0].receipt))
    move(source, target)
    assert [each.task_id for each in target.claim(9)] == ["b"]


def test_taking_back_a_move_back_leaves_it_where_it_was(make: Stores) -> None:
    first, second = make("json"), make("json")
    first.put("a")
    move(first, second)
    halfway(second, first)
    assert undo_move(end(second), end(first)) == ["default"]
    second.put("b")
    assert set(fences(first).values()) == {"moved"}
    move(second, first)
    assert [each.task_id for each in first.claim(9)] == ["a", "b"]


def test_what_has_arrived_is_not_taken_back(make: Stores) -> None:
    source, target = make("json"), make("json")
    source.put("a")
    with pytest.raises(Refused, match="nothing is taken back"):
        undo_move(end(source), end(target))
    move(source, target)
    with pytest.raises(Refused, match="the other way round"):
        undo_move(end(source), end(target))
    assert [each.task_id for each in target.claim(9)] == ["a"]


def test_two_who_move_the_same_do_not_disturb_each_other(make: Stores) -> None:
    """The second finishes, and all is done and forgotten at the destination, before the first goes on."""
    source, target = make("json"), make("sqlite", dedup_max=0)
    source.put(*[f"t{number}" for number in range(120)])
    has_finished: list[bool] = []

    class Slow(Wrapper):
        def apply(self, commands: Sequence[Command]) -> list[Outcome]:
            if isinstance(commands[0], LoadTask) and not has_finished:
                has_finished.append(True)
                move(source, target)
                leases = target.claim(200)
                target.do(*[Ack(queue="default", receipt=each.receipt) for each in leases])
            return self.inner.apply(commands)

    with pytest.raises(Moved, match="meanwhile"):
        move_store(end(source), End(Slow(target.broker), target.url))
    assert has_finished
    assert everything(target) == {"default": [False]}
    assert all(each.is_old for each in move(source, target))


# --- Shards -------------------------------------------------------------------------------------------


def fill_for_shards(store: Store) -> None:
    """Bring tasks into every state, in groups too; unique keys are what a sharded store does not have."""
    store.put(*[f"t{number}" for number in range(60)])
    leases = store.claim(30)
    store.do(*[Ack(queue="default", receipt=each.receipt) for each in leases[:20]])
    store.do(*[Reject(queue="default", receipt=each.receipt, error="no") for each in leases[20:25]])
    for number in range(5):
        for group in range(6):
            store.put(f"{group}-{number}", queue="groups", group=f"group {group}")
    store.put("later", delay=1000, queue="other")
    store.do(Pause(queue="other"))


def order_in_groups(store: Store) -> dict[str, list[str]]:
    order: dict[str, list[str]] = {}
    page = expect(store.do(Browse(queue="groups", limit=999))[0], Browsed)
    for task in page.tasks:
        if task.group is not None:
            order.setdefault(task.group, []).append(task.task_id)
    return order


@pytest.mark.parametrize("ends", SHARDED, ids="-".join)
def test_shards_move_killed_at_any_call(make: Stores, ends: tuple[str, str]) -> None:
    one, other = ends
    source = make(one, **({"shards": 2} if one.startswith("sharded") else {}))
    target = make(other, **({"shards": 3} if other.startswith("sharded") else {}))
    fill_for_shards(source)
    _, last = killed_at_every_third_call(source, target, without_places, SHARDED.index(ends))
    assert order_in_groups(last) == {f"group {n}": [f"{n}-{k}" for k in range(5)] for n in range(6)}


def test_follow_up_tasks_for_another_shard_come_along(make: Stores) -> None:
    source, target = make("sharded-json", shards=7), make("json")
    source.put("a", "b")
    leases = source.claim(2)
    assert source.do(Fence(queue="default", level=FenceLevel.DRAINING, note=target.url))
    for at, lease in enumerate(leases):
        then = tuple(Put(queue="default", task_id=f"then{at}{n}", data=b"1") for n in range(8))
        expect(source.do(Ack(queue="default", receipt=lease.receipt, then=then))[0], Settled)
    (moved,) = move(source, target)
    assert moved.tasks == 16
    assert {each.task_id for each in target.claim(99)} == {f"then{at}{n}" for at in (0, 1) for n in range(8)}


def test_no_follow_up_task_gets_into_a_frozen_queue_in_another_shard(make: Stores) -> None:
    source = make("sharded-json", shards=7)
    source.put("a", queue="one")
    lease = source.claim(queue="one")[0]
    for fenced, queue in (("two", "two"), (EVERY, "three")):
        then = tuple(Put(queue=queue, task_id=f"then{n}", data=b"1") for n in range(8))
        for level in (FenceLevel.DRAINING, FenceLevel.FROZEN):
            source.do(Fence(queue=fenced, level=level, note="acme:///x"))
        assert isinstance(source.do(Ack(queue="one", receipt=lease.receipt, then=then))[0], Moved)
    source.do(Fence(queue="two", level=FenceLevel.NONE, note="acme:///x"))
    then = tuple(Put(queue="two", task_id=f"then{n}", data=b"1") for n in range(8))
    expect(source.do(Ack(queue="one", receipt=lease.receipt, then=then))[0], Settled)
    assert len(source.claim(9, "two")) == 8


def test_a_store_with_a_damaged_shard_is_not_moved(make: Stores, shm: Path) -> None:
    source, target = make("sharded-json", shards=3), make("json")
    for number in range(30):
        source.put(f"t{number}")
    source.broker.close()
    path = shm / "0.sharded-json" / "shard-01.json"
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"\n") + 20] ^= 1
    path.write_bytes(raw)
    damaged = Store(source.url)
    try:
        with pytest.raises(Refused, match="cannot be used"):
            move(damaged, target)
        assert (fences(damaged), fences(target)) == ({}, {})
    finally:
        damaged.broker.close()


def test_a_queue_that_was_taken_back_meanwhile_stays_where_it_is(make: Stores) -> None:
    source, target = make("json"), make("sqlite")
    source.put("a1", queue="a")
    source.put("b1", queue="b")
    (lease,) = source.claim(queue="b")
    one, other = end(source), end(target)

    def take_back(what: str, done: int, total: int) -> None:
        if what.startswith("wait") and undo_move(one, other, ["a"]):
            source.put("a2", queue="a")
            expect(source.do(Ack(queue="b", receipt=lease.receipt))[0], Settled)

    with pytest.raises(Moved, match="taken back"):
        move_store(one, other, on_progress=take_back)
    assert [each.task_id for each in source.claim(9, "a")] == ["a1", "a2"]
