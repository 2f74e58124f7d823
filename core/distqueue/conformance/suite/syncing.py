"""Acknowledge after sync: what is answered is on the disk, as the order of the system calls shows."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from distqueue.broker import Broker
from distqueue.capabilities import Durability
from distqueue.commands import (
    Ack,
    Cancel,
    Claim,
    Command,
    Extend,
    Pause,
    Purge,
    Redrive,
    Reject,
    Release,
    Resume,
    Retry,
    Settle,
)
from distqueue.conformance.clauses import clause
from distqueue.conformance.disk import CALLS, Disk
from distqueue.conformance.processes import OtherProcess
from distqueue.conformance.suite.subject import LONG, Subject, expect
from distqueue.results import Claimed
from distqueue.task import TaskState

_SYNCED: Final = (Durability.FSYNC, Durability.REPLICATED)


class Syncing(Subject):
    """Acknowledge after sync."""

    @contextmanager
    def traced(self) -> Iterator[Broker]:
        """Open a fresh store in another process whose system calls are traced, and judge them at the end."""
        if self.capabilities.durability not in _SYNCED:
            self.not_run(f"durability {self.capabilities.durability} does not promise it")
        trace = self.rig.directory / f"trace{len(list(self.rig.directory.glob('trace*')))}"
        under = self.strace(trace)
        url = self.fresh_url()
        other = OtherProcess(url, self.capabilities, prepare=self.rig.prepare, under=under)
        with other:
            yield other
            other.close()
        self.judge_the_trace(trace)

    def strace(self, trace: Path) -> Sequence[str]:
        """Return the command that traces another one into a file, from within its place."""
        if shutil.which("strace") is None:
            self.not_run("strace is not installed")
        command = ["strace", "-D", "-f", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(trace)]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
            self.not_run("strace cannot trace here")
        return command

    def judge_the_trace(self, trace: Path) -> None:
        """Check that nothing was answered while something that it rests on was at risk."""
        disk = Disk(self.rig.holds_tasks)
        self.until(lambda: "exited" in trace.read_text(errors="replace")[-200:], "the end of the trace")
        disk.follow(trace.read_text(errors="replace").splitlines())
        assert disk.broken == []
        assert disk.answers > 1
        assert disk.syncs > 0, "no file that holds tasks was written: is holds_tasks right?"

    @clause(
        "SYNC-1",
        "a put is answered once it is on the disk, the first one of a new store and a batch too",
        needs="durability",
        asks="holds_tasks",
        look="fdatasync before the answer; the directory after a file was made in it",
    )
    def test_puts_are_synced(self) -> None:
        with self.traced() as broker:
            for number in range(3):
                broker.apply([self.make(number)])
            broker.apply([self.make(number) for number in range(50)])
            broker.apply([self.make("other", queue="other")])

    @clause(
        "SYNC-2",
        "a claim and what settles a delivery are answered once they are on the disk",
        needs="durability",
        asks="holds_tasks",
        look="a write that only puts sync; a sync that is left out because nothing new was put",
    )
    def test_settlements_are_synced(self) -> None:
        kinds: list[type[Settle]] = [Ack, Release, Reject, Extend, Retry]
        with self.traced() as broker:
            broker.apply([self.make() for _ in kinds])
            claim = Claim(queue=self.queue, token="t", count=len(kinds), lease=LONG)  # noqa: S106
            leases = expect(broker.apply([claim])[0], Claimed).leases
            for kind, lease in zip(kinds, leases):
                broker.apply([kind(queue=self.queue, receipt=lease.receipt)])

    @clause(
        "SYNC-3",
        "what administration changes is answered once it is on the disk",
        needs="durability",
        asks="holds_tasks",
        look="administrative commands that go past the path on which puts are synced",
    )
    def test_administration_is_synced(self) -> None:
        dead = (TaskState.DEAD,)
        with self.traced() as broker:
            broker.apply([self.make(task_id=name) for name in "ab"])
            lease = expect(broker.apply([Claim(queue=self.queue, token="t")])[0], Claimed).leases[0]  # noqa: S106
            commands: list[Command] = [
                Reject(queue=self.queue, receipt=lease.receipt),
                Redrive(queue=self.queue),
                Cancel(queue=self.queue, task_id="b"),
                Purge(queue=self.queue, states=dead),
            ]
            if not self.lacks("pause"):
                commands += [Pause(queue=self.queue), Resume(queue=self.queue)]
            for command in commands:
                broker.apply([command])

    @clause(
        "SYNC-4",
        "what replaces the store's files when it tidies up is on the disk before it takes their place",
        needs="durability",
        asks="holds_tasks",
        look="compaction: sync the new file, rename it, sync the directory, and only then answer",
        slow=True,
    )
    def test_tidying_up_is_synced(self) -> None:
        with self.traced() as broker:
            for _ in range(20):
                broker.apply([self.make("x" * 20_000) for _ in range(10)])
                claim = Claim(queue=self.queue, token="t", count=10, lease=LONG)  # noqa: S106 - no password
                leases = expect(broker.apply([claim])[0], Claimed).leases
                broker.apply([Ack(queue=self.queue, receipt=lease.receipt) for lease in leases])
