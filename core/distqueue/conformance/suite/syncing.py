"""Nothing is answered before it is on the disk: seen in the system calls of a process that answers.

The harness says which files hold tasks. What else a store writes, such as a lock or a bell, does not
count. The order of calls is what a power cut would see; cutting the power is a test of another kind.
Follow-up tasks of an ack are not among the calls: a store that sends them on may note that it has
without a sync, as it would only send them again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from distqueue.capabilities import Durability
from distqueue.commands import (
    Ack,
    Cancel,
    Claim,
    Command,
    Extend,
    Find,
    Pause,
    Purge,
    Redrive,
    Reject,
    Release,
    Resume,
    Retry,
    Settle,
    Stats,
)
from distqueue.conformance.clauses import clause
from distqueue.conformance.disk import Disk, files_in
from distqueue.conformance.processes import OtherProcess
from distqueue.conformance.suite.subject import LONG, Subject, expect
from distqueue.conformance.syscalls import Call, cannot_trace, tracing
from distqueue.errors import OutcomeUnknown, Refused
from distqueue.results import Claimed, Lease, Outcome


class Traced:
    """A process whose system calls are traced, and what it was asked."""

    def __init__(self, other: OtherProcess) -> None:
        self.other = other
        self.asked: list[str] = []

    def apply(self, *commands: Command) -> list[Outcome]:
        """Carry out commands in one call, each of which has to succeed."""
        self.asked.append(" ".join(type(command).__name__ for command in commands[:10]))
        outcomes = self.other.apply(commands)
        assert not [outcome for outcome in outcomes if isinstance(outcome, Refused)], outcomes
        return outcomes

    def claim(self, queue: str, token: str, count: int = 1) -> list[Lease]:
        """Claim tasks."""
        claim = Claim(queue=queue, token=token, count=count, lease=LONG)
        return expect(self.apply(claim)[0], Claimed).leases


class Syncing(Subject):
    """Acknowledged after the sync."""

    @contextmanager
    def traced(self, url: str, disk: Disk, *faults: str) -> Iterator[Traced]:
        """Open a store in a process that is traced; at the end everything it answered has to be synced."""
        trace = os.path.join(self._directory, f"trace{len(os.listdir(self._directory))}")
        asked: list[str] = []
        pipe = ""
        try:
            under = tracing(trace, *faults)
            with OtherProcess(url, self.capabilities, prepare=self.rig.prepare, under=under) as other:
                process, pipe = Traced(other), other.child.output
                asked = process.asked
                yield process
                other.close()
        finally:  # also when it was killed
            self.until(lambda: has_ended(trace), "the end of the trace")
            answers = disk.answers
            with open(trace, errors="replace") as lines:
                broken = disk.follow(lines, Answers(pipe))
        asked = [""] * answers + asked
        assert not broken, f"{broken[0]}; it was asked to {asked[-1]}; all that it was asked: {asked}"
        assert faults or disk.answers == len(asked), "an answer is missing in the trace"
        assert faults or disk.syncs, "no file that holds tasks was written: is holds_tasks right?"

    def new_disk(self) -> Disk:
        """Return what is known of the disk before a new store is made.

        Ends the test where syncs are not declared, or cannot be seen.
        """
        if self.capabilities.durability not in (Durability.FSYNC, Durability.REPLICATED):
            self.not_run(f"{self.capabilities.durability} is declared, which a power cut may take")
        if (why := cannot_trace()) is not None:
            self.not_run(why)
        return Disk(self.rig.holds_tasks, files_in(str(self._directory)))

    @clause(
        "SYNC-1",
        "a put is answered once it is on the disk, the first one of a new store and a batch too",
        needs="durability",
        asks="holds_tasks",
        look="fdatasync before the answer; the directory after a file was made in it",
    )
    def test_a_put_is_synced(self) -> None:
        disk = self.new_disk()
        with self.traced(self.fresh_url(), disk) as process:
            for number in range(10):
                process.apply(self.make(number, queue=f"q{number % 3}"))
            process.apply(*(self.make("x" * 100) for _ in range(300)))
            process.apply(self.make("x" * min(100_000, self.capabilities.max_payload - 2)))

    @pytest.mark.parametrize("kind", [Ack, Retry, Release, Reject, Extend])
    @clause(
        "SYNC-2",
        "a claim and what settles a delivery are answered once they are on the disk",
        needs="durability",
        asks="holds_tasks",
        look="a write that only puts sync; a sync that is left out because nothing new was put",
    )
    def test_settling_is_synced(self, kind: type[Settle]) -> None:
        disk, queue = self.new_disk(), self.queue
        with self.traced(self.fresh_url(), disk) as process:
            process.apply(*(self.make(number) for number in range(6)))
            for number in range(3):
                (lease,) = process.claim(queue, f"t{number}")
                process.apply(kind(queue=queue, receipt=lease.receipt))
            leases = process.claim(queue, "all", 3)
            process.apply(*(kind(queue=queue, receipt=lease.receipt) for lease in leases))

    @clause(
        "SYNC-3",
        "what administration changes is answered once it is on the disk",
        needs="durability",
        asks="holds_tasks",
        look="administrative commands that go past the path on which puts are synced",
    )
    def test_administration_is_synced(self) -> None:
        disk, queue = self.new_disk(), self.queue
        with self.traced(self.fresh_url(), disk) as process:
            process.apply(*(self.make(task_id=f"t{number}") for number in range(4)))
            process.apply(Cancel(queue=queue, task_id="t3"))
            for lease in process.claim(queue, "t", 2):
                process.apply(Reject(queue=queue, receipt=lease.receipt))
            process.apply(Redrive(queue=queue))
            if not self.lacks("pause"):
                process.apply(Pause(queue=queue))
                process.apply(Resume(queue=queue))
            process.apply(Purge(queue=queue))
            process.apply(Stats(queue=queue), Find(queue=queue, task_id="t1"))

    @clause(
        "SYNC-4",
        "what replaces the store's files when it tidies up is on the disk before it takes their place",
        needs="durability",
        asks="holds_tasks",
        look="compaction: sync the new file, rename it, sync the directory, and only then answer",
        slow=True,
    )
    def test_tidying_up_is_synced(self) -> None:
        disk = self.new_disk()
        with self.traced(self.fresh_url(), disk) as process:
            process.apply(*(self.make("stays", queue="other") for _ in range(20)))
            for number in range(20):
                process.apply(*(self.make("x" * 5000) for _ in range(20)))
                leases = process.claim(self.queue, f"t{number}", 20)
                process.apply(*(Ack(queue=self.queue, receipt=lease.receipt) for lease in leases))

    @clause(
        "SYNC-5",
        "what was written by a process that was killed is on the disk before another one answers from it",
        needs="durability shared_between_processes",
        asks="holds_tasks",
        look="an opener that reads what the file system holds in memory, and does not sync it first",
        slow=True,
    )
    def test_what_a_killed_process_left_is_synced(self) -> None:
        kills = 0
        for number in (1, 2, 3, 5):
            disk, url = self.new_disk(), self.fresh_url()
            kill = f"inject=fsync,fdatasync:signal=KILL:when={number}"
            try:
                with self.traced(url, disk, kill) as process:
                    self.put_and_claim(process, "first")
            except OutcomeUnknown:
                kills += 1
            disk.answers = 0
            with self.traced(url, disk) as process:
                process.apply(*(Find(queue=self.queue, task_id=f"first{each}") for each in range(5)))
                self.put_and_claim(process, "second")
        if not kills:
            self.not_run("it makes no call that syncs, in which it could be killed")

    def put_and_claim(self, process: Traced, name: str) -> None:
        """Put and claim a few times; a kill may end it."""
        for each in range(5):
            process.apply(self.make(task_id=f"{name}{each}"))
            process.claim(self.queue, f"{name}{each}")


class Answers:
    """Tells the answers of a process from its other calls; its first word is none, that it is ready."""

    def __init__(self, pipe: str) -> None:
        self._pipe = pipe
        self._is_ready = False

    def __call__(self, call: Call) -> bool:
        if call.name != "write" or call.path != self._pipe:
            return False
        was_ready, self._is_ready = self._is_ready, True
        return was_ready


def has_ended(trace: str) -> bool:
    """Whether a trace goes to the end of the process that it began with."""
    with suppress(FileNotFoundError), open(trace, errors="replace") as file:
        pid = file.readline().partition(" ")[0]
        return any(line.startswith(f"{pid} ") and "+++ " in line for line in file)
    return False
