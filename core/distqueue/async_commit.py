"""Group commit for coroutines: what they ask for while one commit runs becomes the next one."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from logging import getLogger

from distqueue.broker import Broker
from distqueue.combine import Answer, apply_together, fitting, own_instance
from distqueue.commands import Command, Release
from distqueue.errors import Closed
from distqueue.limits import payload_bytes
from distqueue.results import Claimed, Outcome

type Outcomes = asyncio.Future[list[Outcome]]

_logger = getLogger("distqueue")


class _Call:
    """One coroutine's commands, and the future of their outcomes."""

    __slots__ = ("commands", "future", "loop", "size")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.size = payload_bytes(commands)
        self.loop = asyncio.get_running_loop()
        self.future: Outcomes = self.loop.create_future()


class AsyncCommit:
    """Carries out commands in one thread, off the event loop, which goes on while something has gathered.

    To cancel a future withdraws nothing: its commands are carried out.
    """

    def __init__(self, broker: Callable[[], Broker]) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._gathered: deque[_Call] = deque()
        self._is_running = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="distqueue-commit")
        self.is_closed = False

    def submit(self, commands: Sequence[Command]) -> Outcomes:
        """Return the future of what ``apply`` answers.

        Raises:
            Closed: the queue has been closed.
        """
        if self.is_closed:
            raise Closed("the queue has been closed; open another one")
        call = _Call(commands)
        with self._lock:
            self._gathered.append(call)
            if self._is_running:
                return call.future
            self._is_running = True
        self._thread.submit(self._run)
        return call.future

    async def call[R](self, function: Callable[[], R]) -> R:
        """Call a function in the thread, once all that was submitted before has been carried out."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def close(self) -> None:
        """End the thread."""
        self.is_closed = True
        self._thread.shutdown()

    # --- In the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while self._goes_on():
            for loop, answered in groupby(self._carry_out(), lambda pair: pair[0].loop):
                try:
                    self._hand_over(loop, list(answered))
                except Exception as error:  # noqa: BLE001 - others wait for this thread
                    _logger.warning("what was claimed stays leased until its lease ends: %s", error)

    def _goes_on(self) -> bool:
        with self._lock:
            self._is_running = bool(self._gathered)
            return self._is_running

    def _carry_out(self) -> list[tuple[_Call, Answer]]:
        try:
            broker = self._broker()
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            return [(call, own_instance(error)) for call in self._take(sys.maxsize)]
        calls = self._take(broker.capabilities.max_batch)
        return list(zip(calls, apply_together(broker.apply, [call.commands for call in calls])))

    def _take(self, max_batch: int) -> list[_Call]:
        with self._lock:
            calls = fitting(self._gathered, max_batch)
            for _ in calls:
                self._gathered.popleft()
            return calls

    def _hand_over(self, loop: asyncio.AbstractEventLoop, answered: list[tuple[_Call, Answer]]) -> None:
        try:
            loop.call_soon_threadsafe(_resolve, answered)
        except RuntimeError:  # The loop is closed, and nobody will handle what was claimed for it.
            if releases := [release for call, answer in answered for release in _releases(call, answer)]:
                self._broker().apply(releases)


def _resolve(answered: list[tuple[_Call, Answer]]) -> None:
    for call, answer in answered:
        if call.future.done():  # cancelled
            continue
        if isinstance(answer, Exception):
            call.future.set_exception(answer)
        else:
            call.future.set_result(answer)


def _releases(call: _Call, answer: Answer) -> list[Release]:
    outcomes = [] if isinstance(answer, Exception) else answer
    return [
        Release(queue=command.queue, receipt=lease.receipt)
        for command, outcome in zip(call.commands, outcomes)
        if isinstance(outcome, Claimed)
        for lease in outcome.leases
    ]
