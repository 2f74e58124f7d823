"""A process that forks while it has a queue open: what becomes of the queue in both, and of what it held."""

from __future__ import annotations

import os
from typing import Final

import msgspec

from distqueue.conformance.clauses import clause
from distqueue.conformance.forker import TASKS, Plan
from distqueue.conformance.processes import Child
from distqueue.conformance.suite.subject import Subject

FORKER: Final = "distqueue.conformance.forker"
TRIES: Final = 100
"""How often a process is stopped, to find it where it keeps others waiting; it may be that it never does."""


class Forking(Subject):
    """A process that forks."""

    def forker(self, *, is_killed: bool) -> Child:
        """Start a process that opens a queue, puts a task, forks, and goes on."""
        if not hasattr(os, "fork"):
            self.not_run("this system has no fork")
        plan = Plan(url=self.store, queue=self.queue, is_killed=is_killed)
        told = msgspec.json.encode(plan).decode()
        return self.cleanup.enter_context(Child(FORKER, told, prepare=self.rig.prepare))

    @clause(
        "FORK-1",
        "a queue that is open when its process forks goes on in both, each as if it had opened it itself",
        needs="shared_between_processes",
        look="a connection or a file on which both processes go on; what the end of one does to the other's",
    )
    def test_a_queue_goes_on_in_both_processes(self) -> None:
        child = self.forker(is_killed=False)
        assert (child.hear(), child.end()) == (b"0\n", 0), child.complaints()
        left = self.take_all(2 * TASKS + 1).split()
        put = {"before", *[f"{name}{number}" for name in ("parent", "child") for number in range(TASKS)]}
        assert len(left) == len(set(left)) == TASKS + 1
        assert set(left) <= put

    @clause(
        "FORK-2",
        "a process that forked and is killed holds nobody up, though the process that it forked lives on",
        needs="shared_between_processes",
        look="a lock or a connection that the fork copied: close_after_fork, and close it in leave_to_parent",
        slow=True,
    )
    def test_what_was_forked_keeps_nothing_locked(self) -> None:
        child = self.forker(is_killed=True)
        assert child.hear() == b"ready\n", child.complaints()
        for _ in range(TRIES):
            before = self.stats().ready
            self.until(lambda seen=before: self.stats().ready > seen, "tasks of that process")  # type: ignore[misc]
            child.stop()
            putting = self.in_thread(self.put)
            try:
                putting.result(self.moment * 5)
            except TimeoutError:  # it was stopped where it keeps the others waiting
                child.kill()
                putting.result(self.patience)
                return
            child.proceed()
