"""The file is the truth: whoever reads it knows what those who wrote it knew, whatever they did."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from distqueue.broker import Broker
from distqueue.commands import Browse, Command, Remembered
from distqueue.results import Browsed, Claimed, Counted, Outcome
from distqueue.task import RememberedTask, TaskRecord
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.memory import MemoryBackend, MemoryOptions

from .random_commands import QUEUES, Commands
from .support import HandClock, compact, expect, fsck, opened, plain, state_of

WINDOW, MOST = 25.0, 6
STEPS = 60


def told(outcome: Outcome) -> Any:
    """Return what an outcome says, but for what each store counts for itself."""
    match outcome:
        case Claimed(leases=leases, seen=seen):
            return ("claimed", plain(leases), seen.wake_at)
        case Counted(queues=queues):
            return plain(queues)
        case Exception():
            return (type(outcome), str(outcome))
    return plain(outcome)


def records_of(broker: Broker) -> list[TaskRecord | RememberedTask]:
    """Return what an export would hold."""
    records: list[TaskRecord | RememberedTask] = []
    for queue in QUEUES:
        tasks, gone = broker.apply([Browse(queue=queue), Remembered(queue=queue)])
        records += [*expect(tasks, Browsed).tasks, *expect(gone, Browsed).remembered]
    return records


class Trio:
    """A memory store, and a file that two backends have open by turns: all are to be alike."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self.stack, self.clock = path, stack, HandClock()
        self.memory = MemoryBackend(MemoryOptions(dedup_window=WINDOW, dedup_max=MOST))
        self.memory.clock = self.clock
        stack.callback(self.memory.close)
        self.one, self.other = self.open(), self.open()

    def open(self) -> JsonBackend:
        return self.stack.enter_context(opened(self.path, self.clock, dedup_window=WINDOW, dedup_max=MOST))

    def reopen(self) -> None:
        self.one.close()
        self.one = self.open()

    def swap(self) -> None:
        self.one, self.other = self.other, self.one

    def apply(self, commands: list[Command]) -> list[Outcome]:
        outcomes = self.memory.apply(commands)
        assert [told(each) for each in self.one.apply(commands)] == [told(each) for each in outcomes], (
            commands
        )
        return outcomes


SEEDS = [pytest.param(seed, marks=[pytest.mark.slow] if seed % 3 else []) for seed in range(48)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reader_of_the_file_knows_what_its_writers_knew(shm: Path, seed: int) -> None:
    make = Commands(seed, fences=seed >= 36)
    with ExitStack() as stack:
        trio = Trio(shm / "Queue.json", stack)
        for _ in range(STEPS):
            trio.clock.now += make.pause()
            commands = make.batch()
            make.note(commands, trio.apply(commands))
            if make.chance(0.15):
                compact(trio.one)
            if make.chance(0.1):
                trio.reopen()
            if make.chance(0.3):
                trio.swap()
            state = state_of(trio.memory)
            assert state_of(trio.one) == state
            if make.chance(0.5):
                assert state_of(trio.other) == state
            if make.chance(0.1):
                make.keep(records_of(trio.memory))
            json.loads(trio.path.read_bytes())
        assert state_of(trio.other) == state_of(trio.memory)
    assert fsck(shm / "Queue.json").is_sound
