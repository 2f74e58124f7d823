"""The children of a worker: started, replaced and ended."""

from __future__ import annotations

import math
import os
import selectors
import time
from logging import getLogger
from typing import Final

from distqueue.worker.children import ChildProcess
from distqueue.worker.output import Output
from distqueue.worker.plan import Plan

_log: Final = getLogger("distqueue.worker")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_END_PATIENCE: Final = 5.0
"""How long a child that was told to finish may take to end, in seconds, before it is killed."""


class Crew:
    """Keeps so many children as are wanted, and tells the selector of them.

    The data of a key in the selector is the child; that its process has ended is told by ``pidfds``.
    """

    def __init__(self, plan: Plan, selector: selectors.BaseSelector, output: Output | None = None) -> None:
        self.children: list[ChildProcess] = []
        self.is_closing = False
        self._plan = plan
        self._selector = selector
        self._output = output
        self._pidfds: dict[int, ChildProcess] = {}
        self._ends_by: dict[ChildProcess, float] = {}
        self._pause = _FIRST_PAUSE
        self._starts_at = 0.0

    @property
    def free(self) -> int:
        """How many handlers more may run now."""
        running = sum(len(child.running) for child in self.children)
        return min(self._plan.concurrency - running, sum(child.free for child in self.children))

    def pick(self) -> ChildProcess | None:
        """Return the child that has most room."""
        found, most = None, 0
        for child in self.children:
            if (free := child.free) > most:
                found, most = child, free
        return found

    def fill(self) -> None:
        """Start children until there are as many as wanted; those that retire do not count."""
        if time.monotonic() >= self._starts_at:
            for _ in range(self._missing):
                self._start()

    def is_well(self, child: ChildProcess) -> None:
        """A child has imported the app."""
        child.is_ready = True
        self._pause = _FIRST_PAUSE

    def put_off(self) -> None:
        """A child has ended before its time: start the next one a little later, each time more."""
        self._starts_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def retire(self, child: ChildProcess) -> None:
        """Give a child nothing more to run: it ends when what it runs has ended, and another takes over."""
        child.is_retiring = True

    def retire_all(self) -> None:
        """Let new children take over from all there are."""
        for child in self.children:
            self.retire(child)

    def end_idle(self) -> None:
        """Let those that retire end, if nothing runs there any more; kill those that do not."""
        now = time.monotonic()
        for child in self.children:
            if not child.is_retiring or child.running:
                continue
            if child not in self._ends_by:
                self._ends_by[child] = now + _END_PATIENCE
                child.finish()
            elif now >= self._ends_by[child] and not child.is_killed:
                child.kill()

    def remove(self, child: ChildProcess) -> str:
        """Forget a child that has ended, and return how it did."""
        self._selector.unregister(child)
        for pidfd in [pidfd for pidfd, owner in self._pidfds.items() if owner is child]:
            self._selector.unregister(pidfd)
            del self._pidfds[pidfd]
            os.close(pidfd)
        self.children.remove(child)
        self._ends_by.pop(child, None)
        return child.reap()

    def watch_writing(self) -> None:
        """Let the selector tell when a child takes more of what it is to be sent."""
        for child in self.children:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.has_unsent else 0)
            if self._selector.get_key(child).events != events:
                self._selector.modify(child, events, child)

    def kill_overdue(self) -> None:
        """Kill the children in which a handler has run for too long."""
        now = time.monotonic()
        for child in self.children:
            if child.deadline <= now:
                child.kill()

    def next_event_at(self) -> float:
        """Return when something has to be done about a child next, on the monotonic clock."""
        times = [child.deadline for child in self.children]
        times += [ends_by for child, ends_by in self._ends_by.items() if not child.is_killed]
        if self._missing:
            times.append(self._starts_at)
        return min(times, default=math.inf)

    def end_all(self) -> None:
        """End every child, and kill those that do not."""
        self.is_closing = True
        for child in self.children:
            child.finish()
        deadline = time.monotonic() + _END_PATIENCE
        for child in list(self.children):
            child.end_by(deadline)
            self.remove(child)

    @property
    def _missing(self) -> int:
        staying = sum(not child.is_retiring for child in self.children)
        return 0 if self.is_closing else self._plan.processes - staying

    def _start(self) -> None:
        child = ChildProcess(self._plan, self._output)
        self.children.append(child)
        self._selector.register(child, selectors.EVENT_READ, child)
        if hasattr(os, "pidfd_open"):  # its descendants may keep the socket open
            pidfd = os.pidfd_open(child.process.pid)
            self._pidfds[pidfd] = child
            self._selector.register(pidfd, selectors.EVENT_READ, child)
        _log.debug("started child %d", child.process.pid)
