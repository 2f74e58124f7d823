"""Group commit: the commands of threads that call at the same time become one commit.

As in LevelDB's writer queue: whoever finds the store free carries out, in one call, all that has
gathered while the last call ran. Nobody waits behind a timer, and a lone caller goes straight through.

The store is taken with ``with`` and nothing else, as an interrupt (Ctrl-C) can strike between
``acquire`` and ``try``. Waking a follower is only a hint: one that was forgotten because an interrupt
struck just then looks for itself after ``PATIENCE``. So nobody hangs, whatever happens to a leader.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.combine import Answer, apply_together, fitting
from distqueue.commands import Claim, Command
from distqueue.errors import Closed, OutcomeUnknown
from distqueue.limits import check_batch, payload_bytes
from distqueue.results import Lease, Outcome, Seen

PATIENCE: Final = 1.0
"""How long a follower sleeps, in seconds, before it looks for itself whether the store is free."""


class _Call:
    """One caller's commands. ``started`` calls are never carried out a second time."""

    __slots__ = ("answer", "bell", "commands", "size", "started")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.size = payload_bytes(commands)
        self.started = False
        self.answer: Answer | None = None
        self.bell: SimpleQueue[None] = SimpleQueue()

    def settle(self, answer: Answer) -> None:
        self.answer = answer
        self.bell.put(None)

    def sleep(self) -> None:
        with suppress(Empty):
            self.bell.get(timeout=PATIENCE)


class GroupCommit(Broker):
    """A broker around a broker, for any number of threads.

    >>> broker = GroupCommit(backend)                                          # doctest: +SKIP
    >>> broker.apply([Put(queue="default", task_id="1", data=b"{}")])          # doctest: +SKIP
    """

    def __init__(self, inner: Broker) -> None:
        self._inner = inner
        self._capabilities = inner.capabilities
        """For its limits, which stay as they are."""
        self._store = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._closed = self._is_left_to_owner = False
        self._owner = 0

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if self._closed:
            raise Closed("the broker has been closed; open the URL again")
        check_batch(commands, self._capabilities)
        if self._waiting or self._store.locked():
            return self._join(_Call(commands))
        try:
            with self._store:
                self._owner = threading.get_ident()
                return self._inner.apply(commands)
        finally:
            self._after()

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self._inner.wait(queue, seen, timeout)

    def park(self, claim: Claim, seen: Seen, timeout: float | None) -> list[Lease] | None:
        return self._inner.park(claim, seen, timeout)

    def unpark(self, token: str | None = None) -> None:
        self._inner.unpark(token)

    def close(self) -> None:
        """Carry out what has gathered, then close the inner broker. Waits for a call that is running.

        In a signal handler that interrupted that very call, it is left to the call.
        """
        self._closed = True
        if self._store.locked() and self._owner == threading.get_ident():
            self._is_left_to_owner = True
            return
        with self._store:
            while self._waiting:
                self._carry_out()
            self._inner.close()

    def _join(self, call: _Call) -> list[Outcome]:
        """Wait until a leader has carried the call out, or lead as soon as the store is free."""
        self._waiting.append(call)
        try:
            while call.answer is None:
                if self._store.locked():
                    call.sleep()
                else:
                    self._lead(call)
        except BaseException:
            self._withdraw(call)
            raise
        if isinstance(call.answer, Exception):
            raise call.answer
        return call.answer

    def _lead(self, call: _Call) -> None:
        try:
            with self._store:
                self._owner = threading.get_ident()
                if call.answer is None:
                    self._carry_out()
        finally:
            self._after()

    def _after(self) -> None:
        """Let the next one lead, or close what a signal handler could not."""
        if self._is_left_to_owner:
            self._is_left_to_owner = False
            self.close()
        elif self._waiting:
            self._wake_next()

    def _carry_out(self) -> None:
        """Carry out what has gathered, up to the limits of one batch; the caller holds the store."""
        self._sweep()
        calls = fitting(self._waiting.copy(), self._capabilities.max_batch)
        try:
            for call in calls:
                call.started = True
            answers = apply_together(self._inner.apply, [call.commands for call in calls])
            for call, answer in zip(calls, answers):
                call.settle(answer)
        finally:
            self._sweep()

    def _sweep(self) -> None:
        """Take out the calls that are over, also those whose leader was interrupted."""
        for call in self._waiting.copy():
            if not call.started:
                break
            if call.answer is None:
                call.settle(OutcomeUnknown("the commit was interrupted; repeat it with the same task ids"))
            self._remove(call)

    def _withdraw(self, call: _Call) -> None:
        """An interrupted caller's commands are not carried out if that has not begun."""
        call.commands = ()
        self._remove(call)
        self._wake_next()

    def _remove(self, call: _Call) -> None:
        with suppress(ValueError):
            self._waiting.remove(call)

    def _wake_next(self) -> None:
        with suppress(IndexError):
            self._waiting[0].bell.put(None)
