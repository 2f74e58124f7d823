"""Loading what another table exported: the same again, also beside tasks that are there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from distqueue.commands import Browse, Cancel, Command, Load, Pause, Put, Redrive, Reject, Release, Remembered
from distqueue.errors import GroupPriorityMismatch, UniqueTaken
from distqueue.results import Browsed, Loaded
from distqueue.task import RememberedTask, TaskRecord, TaskState
from distqueue_backends.memory import MemoryBackend, MemoryOptions
from tests.json.random_commands import QUEUES, Commands
from tests.json.support import HandClock, ack, claimed, expect, ids, put, ready_ids, state_of, stored


def record(task_id: str, number: int, **fields: Any) -> TaskRecord:
    """Return the record of a ready task."""
    ready = {"state": TaskState.READY, "place": number, "data": msgspec.Raw(b"1")}
    return TaskRecord(task_id=task_id, queue="q", number=number, **{**ready, **fields})


def loads(*records: TaskRecord | RememberedTask) -> list[Command]:
    return [Load.of(each) for each in records]


def load(table: MemoryBackend, *records: TaskRecord | RememberedTask) -> None:
    for outcome in table.apply(loads(*records)):
        assert expect(outcome, Loaded).duplicate is False


def export(table: MemoryBackend) -> list[TaskRecord | RememberedTask]:
    found: list[TaskRecord | RememberedTask] = []
    for queue in QUEUES:
        tasks, gone = table.apply([Browse(queue=queue, limit=1000), Remembered(queue=queue)])
        found += [*expect(tasks, Browsed).tasks, *expect(gone, Browsed).remembered]
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_round_trip_changes_nothing(clock: HandClock, seed: int) -> None:
    make, table = Commands(seed), MemoryBackend(MemoryOptions(dedup_window=1e9))
    table.clock = clock
    for _ in range(40):
        clock.now += make.pause()
        commands = [each for each in make.batch() if not isinstance(each, Load)]
        make.note(commands, table.apply(commands))
    paused = [queue for queue, state in state_of(table).items() if state["stats"]["paused"]]
    copy = MemoryBackend(MemoryOptions(dedup_window=1e9))
    copy.clock = clock
    load(copy, *export(table))
    copy.apply([Pause(queue=queue) for queue in paused])
    before, after = state_of(table), state_of(copy)
    for queue in after:
        for state in (before[queue], after[queue]):
            del state["stats"]["expired"]
        assert after[queue] == before[queue]
    copy.close()
    table.close()


def test_what_is_loaded_out_of_order_stands_by_its_place(table: MemoryBackend) -> None:
    load(table, record("c", 3), record("a", 1), record("b", 2))
    assert ready_ids(table) == ["a", "b", "c"]
    stored(table, put("new"))
    assert ids(claimed(table, 9)) == ["a", "b", "c", "new"]


def test_tasks_of_three_stores_with_the_same_places_are_all_there_in_one_order(table: MemoryBackend) -> None:
    load(table, *[record(f"{store}{number}", number) for store in "xyz" for number in (1, 2, 3)])
    order = ["x1", "y1", "z1", "x2", "y2", "z2", "x3", "y3", "z3"]
    assert ready_ids(table) == order
    leases = claimed(table, 9)
    assert ids(leases) == order
    table.apply([Release(queue="q", receipt=lease.receipt) for lease in reversed(leases)])
    assert ids(claimed(table, 9)) == order


def test_numbers_stay_unique_so_that_pages_show_every_task(table: MemoryBackend) -> None:
    load(table, *[record(f"{store}{number}", number) for store in "xyz" for number in (1, 2, 3)])
    found: list[str] = []
    after = None
    while True:
        page = expect(table.apply([Browse(queue="q", limit=2, after=after)])[0], Browsed)
        found += [task.task_id for task in page.tasks]
        if (after := page.next) is None:
            break
    assert sorted(found) == sorted(f"{store}{number}" for store in "xyz" for number in (1, 2, 3))


def test_a_task_loaded_into_a_group_stands_behind_those_that_are_there(table: MemoryBackend) -> None:
    load(table, record("second", 5, group="g"), record("first", 3, group="g"))
    assert ready_ids(table) == ["second"]
    table.apply([Cancel(queue="q", task_id="second")])
    assert ids(claimed(table, 9)) == ["first"]


def test_no_task_is_handed_out_twice_after_one_was_loaded_before_it(table: MemoryBackend) -> None:
    load(table, record("t2", 5, group="g"))
    (lease,) = claimed(table)
    load(table, record("t1", 3, group="g"))
    assert claimed(table, 9) == []
    table.apply([ack(lease)])
    assert ids(claimed(table, 9)) == ["t1"]


def test_a_loaded_task_must_not_break_what_holds_for_those_that_are_there(table: MemoryBackend) -> None:
    stored(table, put("a", unique="k"), put("b", group="g"))
    key, group, dead = table.apply(
        loads(
            record("x", 1, unique="k"),
            record("y", 2, group="g", priority=3),
            record("z", 3, unique="k", state=TaskState.DEAD, place=None),
        )
    )
    assert isinstance(key, UniqueTaken)
    assert isinstance(group, GroupPriorityMismatch)
    assert isinstance(dead, Loaded)


def test_a_loaded_lease_goes_on_and_ends(table: MemoryBackend, clock: HandClock) -> None:
    leased = {"state": TaskState.LEASED, "until": clock.now + 5, "deliveries": 1}
    load(table, record("a", 1, receipt="1.t.a", **leased), record("b", 2, receipt="1.t.b", **leased))
    assert claimed(table, 9) == []
    assert not isinstance(table.apply([ack("1.t.a")])[0], Exception)
    clock.now += 5
    assert [(lease.task_id, lease.attempt) for lease in claimed(table, 9)] == [("b", 2)]


def test_a_loaded_dead_task_can_be_redriven(table: MemoryBackend) -> None:
    dead = {"state": TaskState.DEAD, "place": None, "attempt": 5, "deliveries": 5, "error": "boom"}
    load(table, record("a", 1, **dead), record("b", 2, **dead))
    table.apply([Redrive(queue="q", error="oo")])
    leases = claimed(table, 9)
    assert [(lease.task_id, lease.attempt) for lease in leases] == [("a", 1), ("b", 1)]
    table.apply([Reject(queue="q", receipt=lease.receipt) for lease in leases])
    assert ready_ids(table) == []


def test_what_is_there_or_remembered_is_not_loaded_again(table: MemoryBackend) -> None:
    stored(table, put("a"), put("b"))
    table.apply([Cancel(queue="q", task_id="b")])
    before = state_of(table)
    again = table.apply(loads(record("a", 9), record("b", 9)))
    assert [expect(outcome, Loaded).duplicate for outcome in again] == [True, True]
    assert state_of(table) == before


def test_a_loaded_memory_refuses_what_it_remembers(table: MemoryBackend, clock: HandClock) -> None:
    gone = RememberedTask(task_id="a", queue="q", at=clock.now, checksum=0, settled="ack", receipt="1.t.a")
    load(table, gone)
    (outcome,) = table.apply([Put(queue="q", task_id="a", data=b"1")])
    assert "published before with another payload" in str(outcome)
