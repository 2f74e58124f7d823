"""``AppTester``: the store of an app, and its worker, for the time of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

from distqueue.app.app import App
from distqueue.app.call import handler_name
from distqueue.app.ended import Ended
from distqueue.app.function import TaskFunction, of_task
from distqueue.app.store import Lent
from distqueue.broker import Broker
from distqueue.commands import Claim, Command, Put, Release, Stats
from distqueue.errors import ConfigError, HandlerVerdict, Refused
from distqueue.groupcommit import GroupCommit
from distqueue.ids import new_token
from distqueue.opening import open_on_clock
from distqueue.outcomes import expect
from distqueue.results import Claimed, Counted, Lease, QueueStats, Result
from distqueue.task import TaskRecord
from distqueue.testing.calls import Enqueued, Raised, call_of, listed, option
from distqueue.testing.clock import StillClock
from distqueue.testing.recorder import Recorder
from distqueue.testing.run import Run
from distqueue.times import Duration, seconds
from distqueue.urls import parse_url

type AnyTask = TaskFunction[..., Any]

_ALL: Final = 1_000_000


class AppTester:
    """What :meth:`App.testing <distqueue.App.testing>` gives: it runs what was enqueued, and tells of it.

    Handlers run one at a time: sync ones in the thread of the test, async ones on an event loop of their
    own. What they raise is raised in the test. Tasks are claimed, handled and settled as a worker does it;
    only a sync handler's ``timeout`` is not enforced, as that takes a process which can be killed.
    """

    url = "memory://"

    def __init__(self, app: App) -> None:
        self.app = app
        self.raised: list[Raised] = []
        """What handlers have raised so far, the oldest first."""
        self._clock = StillClock()
        self._recorder = Recorder(open_on_clock(parse_url(self.url), self._clock), self._clock)
        self._broker = GroupCommit(self._recorder)
        self._loop = asyncio.Runner()
        self._not_run: list[Release] = []
        self._turns = count(1)
        self._last_turn: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<AppTester of {self.app!r}, {len(self._recorder.puts)} tasks enqueued>"

    def lend(self) -> Broker:
        """Return the store for somebody who may close it: what was put stays."""
        return Lent(self._broker)

    # --- Time -----------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time by the clock of the store, in UTC."""
        return datetime.fromtimestamp(self._clock.wall(), UTC)

    def advance(self, duration: Duration) -> None:
        """Let time pass (seconds or ``timedelta``): what is due by then is ready, what was leased is lost.

        >>> jobs.advance(timedelta(hours=1))                                   # doctest: +SKIP

        Raises:
            ValueError: the duration is negative.
        """
        self._clock.advance(seconds("duration", duration))

    # --- Running --------------------------------------------------------------------------------

    def run_until_empty(self, *queues: str, raises: bool = True) -> int:
        """Run handlers until nothing is ready, also what they enqueue; return how many were run.

        Of all queues, which take turns, or only of those named, the first one first. What is scheduled, or
        waits for its next attempt, stays until :meth:`advance`.

        What a handler raises is raised here, once its attempt is settled as a worker would settle it; call
        again to go on. ``RetryTask`` and ``RejectTask`` are no errors. With ``raises=False`` nothing is
        raised: see :attr:`raised`, and :meth:`dead`.

        Raises:
            ConfigError: the app has no handler for a task.
            RuntimeError: a handler is async, and the test has an event loop: await
                :meth:`run_until_empty_async`.
        """
        try:
            done = 0
            while (run := self._next(queues, raises)) is not None:
                self._settle(run, self._in_own_loop(run) if run.task.is_async else run.handle(), raises)
                done += 1
            return done
        finally:
            self._give_back()

    async def run_until_empty_async(self, *queues: str, raises: bool = True) -> int:
        """As :meth:`run_until_empty`, for tests that are coroutines: async handlers share their event loop.

        Sync ones run in a thread, as in a worker.
        """
        try:
            done = 0
            while (run := self._next(queues, raises)) is not None:
                ended = run.handle_async() if run.task.is_async else asyncio.to_thread(run.handle)
                self._settle(run, await ended, raises)
                done += 1
            return done
        finally:
            self._give_back()

    # --- Looking --------------------------------------------------------------------------------

    def enqueued(self, task: AnyTask | None = None) -> list[Enqueued]:
        """Return what was enqueued so far, the oldest first, also what has been run: all, or of one handler.

        With :meth:`~distqueue.TaskFunction.options`, only what was enqueued with these.

        >>> [call] = jobs.enqueued(send_email)                                 # doctest: +SKIP
        >>> call.args, call.delay, call.options.priority                       # doctest: +SKIP
        ({'to': 'a@example.org'}, 60.0, 5)
        """
        puts = self._recorder.puts if task is None else filter(self._fits(task), self._recorder.puts)
        return [call for put in puts if (call := call_of(self.app, put)) is not None]

    def assert_enqueued[**P](self, task: TaskFunction[P, Any], *args: P.args, **kwargs: P.kwargs) -> Enqueued:
        """Return the first call of a handler with these arguments that was enqueued.

        What :meth:`~distqueue.TaskFunction.options` says has to be so, too; all else may be as it likes.

        >>> jobs.assert_enqueued(send_email.options(delay=60), "a@example.org")  # doctest: +SKIP

        Raises:
            AssertionError: there is none; it lists what was enqueued.
        """
        wanted = call_of(self.app, task.task(*args, **kwargs))
        found = self.enqueued(task)
        for call in found:
            if wanted is not None and call.args == wanted.args:
                return call
        others = self.enqueued()
        what = f"what was:\n{listed(others)}" if others else "nothing was"
        raise AssertionError(f"{wanted} was not enqueued; {what}")

    def dead(self, task: AnyTask | None = None) -> list[TaskRecord]:
        """Return the tasks that are out of attempts or were rejected: all, or those of one handler.

        >>> [record] = jobs.dead(send_email)                                   # doctest: +SKIP
        >>> record.error                                                       # doctest: +SKIP
        'ConnectionError: no route to host'
        """
        return [
            record
            for queue in self._queues(lambda counts: counts.dead)
            for record in self.app.queue(queue).dead(_ALL)
            if task is None or handler_name(bytes(record.data)) == task.name
        ]

    # --- The end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Forget all tasks."""
        self._loop.close()
        self._broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Within ---------------------------------------------------------------------------------

    def _ask[R: Result](self, command: Command, kind: type[R]) -> R:
        return expect(self._broker.apply([command])[0], kind)

    def _queues(self, having: Callable[[QueueStats], int]) -> list[str]:
        counted = self._ask(Stats(queue="*"), Counted).queues
        return [counts.queue for counts in counted if having(counts)]

    def _fits(self, task: AnyTask) -> Callable[[Put], bool]:
        """Return what tells whether a task is for a handler, and put with what was said of it besides."""
        names = task.said.keys() - {"connection"}
        sample = self.app.queue(task.queue).task(None, **of_task(task.said))
        wanted = {name: option(sample, name) for name in names}

        def fits(put: Put) -> bool:
            is_said = all(option(put, name) == value for name, value in wanted.items())
            return is_said and handler_name(put.data) == task.name

        return fits

    def _next(self, queues: Sequence[str], raises: bool) -> Run | None:
        """Claim the next task that the app has a handler for."""
        while (claimed := self._claim(queues)) is not None:
            queue, lease = claimed
            name = handler_name(lease.data)
            if name is not None and name in self.app.tasks:
                return Run(queue, lease, self.app.tasks[name])
            self._not_run.append(Release(queue=queue, receipt=lease.receipt))
            if raises:
                raise ConfigError(
                    f"no handler of the app is named {name!r}, which task {lease.task_id} in queue {queue} "
                    "is for; import the module that has it, or name the queues to run"
                )
        return None

    def _claim(self, queues: Sequence[str]) -> tuple[str, Lease] | None:
        for queue in queues or self._in_turn():
            lease = self.app.configured(queue).defaults.lease
            claim = Claim(queue=queue, token=new_token(), lease=lease)
            if leases := self._ask(claim, Claimed).leases:
                self._last_turn[queue] = next(self._turns)
                return queue, leases[0]
        return None

    def _in_turn(self) -> list[str]:
        """Return the queues that have something, the one whose turn was longest ago first."""
        queues = self._queues(lambda counts: counts.ready)
        return sorted(queues, key=lambda queue: self._last_turn.get(queue, 0))

    def _in_own_loop(self, run: Run) -> Ended:
        if _has_running_loop():
            self._not_run.append(Release(queue=run.queue, receipt=run.lease.receipt))
            raise RuntimeError(
                f"{run.task.name} is async, and an event loop runs here: await run_until_empty_async()"
            )
        return self._loop.run(run.handle_async())

    def _settle(self, run: Run, ended: Ended, raises: bool) -> None:
        """Settle a delivery, and raise what its handler raised, if that is to be."""
        backoff = run.task.policy.retry or self.app.configured(run.queue).defaults.retry
        outcome = self._broker.apply([ended.command(run.queue, run.lease.receipt, backoff)])[0]
        error = run.raised or (outcome if isinstance(outcome, Refused) else None)
        if error is None:
            return
        self.raised.append(run.as_raised(error))
        is_verdict = isinstance(error, HandlerVerdict)
        is_for_the_test = not isinstance(error, Exception | SystemExit)  # Ctrl-C, or what pytest raises
        if is_for_the_test or (raises and not is_verdict):
            raise error

    def _give_back(self) -> None:
        given_back, self._not_run = self._not_run, []
        self._broker.apply(given_back)


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
