"""Moving queues between stores: what is there afterwards, what is refused, what an interruption leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities, Ordering
from distqueue.commands import (
    Ack,
    Browse,
    Cancel,
    Claim,
    Command,
    Fence,
    LoadTask,
    Pause,
    Put,
    Reject,
    Release,
)
from distqueue.errors import Moved, MoveFailed, Refused, StoreFull, TaskNotFound, Unsupported
from distqueue.fences import EVERY, FenceLevel
from distqueue.ids import new_token
from distqueue.outcomes import expect
from distqueue.results import Browsed, Fenced, Outcome, Seen, Settled, Stored
from distqueue.transfer.ends import End, check_ends
from distqueue.transfer.moving import move_store
from distqueue.transfer.undoing import empty_source, undo_move

from .conftest import Store, everything, fences, queue_names, without_places

SCHEMES = ("memory", "json", "sqlite")
PAIRS = [(one, other) for one in SCHEMES for other in SCHEMES]
SHARDED = [("sharded-json", "json"), ("json", "sharded-json"), ("sharded-json", "sharded-json")]


class Killed(Exception):
    """What stands for a kill."""


class Wrapper(Broker):
    """Passes everything on; what tests change is in ``apply``."""

    def __init__(self, inner: Broker) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply(commands)

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self.inner.wait(queue, seen, timeout)

    def close(self) -> None:
        self.inner.close()


class Mortal(Wrapper):
    """Dies before or after a call, which is drawn from those of both ends."""

    def __init__(self, inner: Broker, calls: Iterator[int], dies_at: int, *, after: bool) -> None:
        super().__init__(inner)
        self._calls, self._dies_at, self._after = calls, dies_at, after

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        dies = next(self._calls) == self._dies_at
        if dies and not self._after:
            raise Killed
        outcomes = self.inner.apply(commands)
        if dies:
            raise Killed
        return outcomes


class Alters(Wrapper):
    """Changes what is loaded."""

    def __init__(self, inner: Broker, change: Callable[[LoadTask], LoadTask]) -> None:
        super().__init__(inner)
        self._change = change

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply([self._change(x) if isinstance(x, LoadTask) else x for x in commands])


class Stores:
    """Makes empty stores, which are closed in the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Store] = []

    def __call__(self, scheme: str, **options: object) -> Store:
        name = f"{len(self._made)}.{scheme}"
        place = f"///{self._directory}/{name}" if scheme != "memory" else f"//{name}"
        query = "&".join(f"{key}={value}" for key, value in options.items())
        self._made.append(Store(f"{scheme}:{place}?{query}" if query else f"{scheme}:{place}"))
        return self._made[-1]

    def close(self) -> None:
        for store in self._made:
            store.broker.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Stores]:
    stores = Stores(tmp_path)
    yield stores
    stores.close()


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, make: Stores) -> tuple[Store, Store]:
    """A store, and an empty one on each backend."""
    one, other = request.param
    return make(one), make(other)


def end(store: Store) -> End:
    return End(store.broker, store.url)


def move(source: Store, target: Store, queues: Sequence[str] | None = None, **options: Any) -> Any:
    return move_store(end(source), end(target), queues, **options)


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
        with pytest.raises(Moved, match=target.url):
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


# --- Interrupted -------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_move_killed_at_any_call_is_finished_by_the_same(pair: tuple[Store, Store], *, after: bool) -> None:
    source, target = pair
    source.fill()
    before = everything(source)
    for dies_at in count():
        calls = count()
        ends = [End(Mortal(each.broker, calls, dies_at, after=after), each.url) for each in (source, target)]
        try:
            move_store(ends[0], ends[1], now=True)
            break
        except Killed:
            assert everything(source) == before
            move(source, target, now=True)
            assert everything(target) == before
            assert fences(target) == {}
        source, target = target, source  # and back again, killed one call later
    assert everything(target) == before
    assert dies_at > 15


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_move_killed_at_any_call_can_be_taken_back(pair: tuple[Store, Store], *, after: bool) -> None:
    source, target = pair
    source.fill()
    before = everything(source)
    taken_back = 0
    for dies_at in count():
        calls = count()
        ends = [End(Mortal(each.broker, calls, dies_at, after=after), each.url) for each in (source, target)]
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
    assert taken_back > 10


def test_an_undo_killed_at_any_call_is_finished_by_the_same(make: Stores) -> None:
    for dies_at in count():
        source, target = make("memory"), make("memory")
        source.fill()
        before = everything(source)
        halfway(source, target)
        calls = count()
        ends = [End(Mortal(each.broker, calls, dies_at, after=True), each.url) for each in (source, target)]
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


def halfway(source: Store, target: Store) -> None:
    """Let a move die when it compares what it has copied."""
    with pytest.raises(Killed):
        move_store(end(source), End(DiesAtTheEnd(target.broker), target.url), now=True)
    assert set(fences(source).values()) == {"draining", "frozen"}


class DiesAtTheEnd(Wrapper):
    """Dies when it is asked for what it was given."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if isinstance(commands[0], Browse):
            raise Killed
        return self.inner.apply(commands)


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
    store.put(*[f"t{number}" for number in range(100)])
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


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("one", "other"), SHARDED, ids=["from", "to", "between"])
def test_shards_move_killed_at_any_call(make: Stores, one: str, other: str, *, after: bool) -> None:
    source = make(one, **({"shards": 3} if one.startswith("sharded") else {}))
    target = make(other, **({"shards": 5} if other.startswith("sharded") else {}))
    fill_for_shards(source)
    before = without_places(source)
    for dies_at in count():
        calls = count()
        ends = [End(Mortal(each.broker, calls, dies_at, after=after), each.url) for each in (source, target)]
        try:
            move_store(ends[0], ends[1], now=True)
            break
        except Killed:
            assert without_places(source) == before
            move(source, target, now=True)
            assert without_places(target) == before
            assert fences(target) == {}
        source, target = target, source
    assert dies_at > 15
    assert order_in_groups(target) == {f"group {n}": [f"{n}-{k}" for k in range(5)] for n in range(6)}


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


def test_a_store_with_a_damaged_shard_is_not_moved(make: Stores, tmp_path: Path) -> None:
    source, target = make("sharded-json", shards=3), make("json")
    for number in range(30):
        source.put(f"t{number}")
    source.broker.close()
    path = tmp_path / "0.sharded-json" / "shard-01.json"
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
