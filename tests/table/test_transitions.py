"""Whatever commands come, a task goes the ways of the transition table and no other, and it goes them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pytest

from distqueue.commands import (
    Ack,
    Browse,
    Cancel,
    Claim,
    Command,
    Extend,
    Load,
    Purge,
    Put,
    Redrive,
    Reject,
    Release,
    Remembered,
    Retry,
    Stats,
)
from distqueue.lifecycle import GONE, TRANSITIONS, TaskEvent, is_allowed
from distqueue.results import Browsed
from distqueue.task import TaskRecord, TaskState
from distqueue_backends.memory import MemoryBackend, MemoryOptions
from tests.json.random_commands import QUEUES, Commands
from tests.json.support import HandClock, expect

pytestmark = pytest.mark.slow

type Seen = tuple[TaskState | None, TaskEvent, TaskState | None]

BY_ITSELF: Final = (TaskEvent.DUE, TaskEvent.LAPSE, TaskEvent.EXPIRE, TaskEvent.FORGET)
EVENTS: Final[dict[type[Command], tuple[TaskEvent, ...]]] = {
    Put: (TaskEvent.PUT,),
    Claim: (TaskEvent.DUE, TaskEvent.CLAIM),
    Ack: (TaskEvent.ACK, TaskEvent.PUT),
    Retry: (TaskEvent.RETRY,),
    Release: (TaskEvent.RELEASE,),
    Reject: (TaskEvent.REJECT,),
    Extend: (TaskEvent.EXTEND,),
    Cancel: (TaskEvent.CANCEL,),
    Purge: (TaskEvent.PURGE,),
    Redrive: (TaskEvent.REDRIVE,),
}


def test_every_state_can_be_reached_and_left() -> None:
    ways = [(before, after) for (before, _), afters in TRANSITIONS.items() for after in afters]
    assert {after for _, after in ways} == {GONE, *TaskState}
    assert {before for before, _ in ways} == {GONE, *TaskState}


def test_what_is_not_in_the_table_may_not_happen() -> None:
    assert is_allowed(TaskState.READY, TaskEvent.CLAIM, TaskState.LEASED)
    for before, event, after in (
        (TaskState.SCHEDULED, TaskEvent.CLAIM, TaskState.LEASED),
        (TaskState.READY, TaskEvent.ACK, TaskState.DONE),
        (TaskState.LEASED, TaskEvent.EXPIRE, GONE),
        (TaskState.DEAD, TaskEvent.EXPIRE, GONE),
        (TaskState.DONE, TaskEvent.REDRIVE, TaskState.READY),
        (GONE, TaskEvent.CLAIM, TaskState.LEASED),
    ):
        assert not is_allowed(before, event, after)


class Watched:
    """A table that is looked at before and after each step."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.backend = MemoryBackend(MemoryOptions(dedup_window=10.0, dedup_max=5))
        self.backend.clock = self.clock
        self.seen: set[Seen] = set()
        self._before: dict[tuple[str, str], TaskRecord] = {}

    def pass_time(self, seconds: float) -> None:
        """Let time go by, and see what happens by itself."""
        self.clock.now += seconds
        self.backend.apply([Stats(queue="*")])
        self._look(BY_ITSELF)

    def apply(self, command: Command) -> None:
        """Carry out one command and check every way that a task went."""
        self.outcomes = self.backend.apply([command])
        if isinstance(command, Load):
            self._before = self._tasks()  # it may bring a task in any state
        else:
            self._look(EVENTS.get(type(command), ()))

    def _look(self, events: Iterable[TaskEvent]) -> None:
        after = self._tasks()
        for key in self._before.keys() | after.keys():
            old, new = self._before.get(key), after.get(key)
            if old != new:
                self._check(old.state if old else GONE, tuple(events), new.state if new else GONE, (old, new))
        self._before = after

    def _check(
        self, before: TaskState | None, events: tuple[TaskEvent, ...], after: TaskState | None, what: object
    ) -> None:
        ways: list[list[Seen]] = [[(before, event, after)] for event in events]
        ways += [[(before, a, s), (s, b, after)] for a in events for b in events for s in TaskState]
        way = next((way for way in ways if all(is_allowed(*step) for step in way)), None)
        assert way is not None, (before, events, after, what)
        self.seen |= set(way)

    def _tasks(self) -> dict[tuple[str, str], TaskRecord]:
        pages = self.backend.apply([Browse(queue=queue, limit=1000) for queue in QUEUES])
        return {(task.queue, task.task_id): task for page in pages for task in expect(page, Browsed).tasks}


def test_random_commands_go_all_ways_of_the_table_and_no_other() -> None:
    seen: set[Seen] = set()
    for seed in range(180):
        make, watched = Commands(seed), Watched()
        for _ in range(80):
            watched.pass_time(make.pause())
            for command in make.batch():
                watched.apply(command)
                make.note([command], watched.outcomes)
            if make.chance(0.1):
                gone = watched.backend.apply([Remembered(queue=queue) for queue in QUEUES])
                make.keep([each for page in gone for each in expect(page, Browsed).remembered])
        watched.backend.close()
        seen |= watched.seen
    expected = {(before, event, after) for (before, event), afters in TRANSITIONS.items() for after in afters}
    assert seen == expected, expected - seen
