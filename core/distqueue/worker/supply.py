"""What a worker takes from the store and gives back to it, in one call after the other.

While a call is under way, what is to be settled gathers; the next call settles all of it and claims as many
tasks as can be started, in one commit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from logging import getLogger
from typing import Final

from msgspec.structs import replace

from distqueue.app.ended import Ended
from distqueue.commands import Ack, Claim, Command, Reject, Release, Retry, Settle, Stats
from distqueue.errors import (
    ConfigError,
    DistqueueError,
    LeaseLost,
    Moved,
    OutcomeUnknown,
    Refused,
    SettleRefused,
    TooLarge,
)
from distqueue.fences import FenceLevel
from distqueue.limits import check_batch
from distqueue.opening import open_broker
from distqueue.outcomes import PASSING, expect
from distqueue.results import Claimed, Counted, Lease, Outcome, Settled
from distqueue.schedules.ticking import Ticking
from distqueue.task import TaskState
from distqueue.urls import parse_url
from distqueue.worker.asking import Answer, Asking, Watch
from distqueue.worker.late import Late
from distqueue.worker.plan import Plan
from distqueue.worker.running import Running
from distqueue.worker.source import Source
from distqueue.worker.tally import Failure, Tally
from distqueue.worker.unsettled import Settling, Unsettled
from distqueue.worker.wire import QueueInfo, Ready

_log: Final = getLogger("distqueue.worker")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_UNPARKING: Final = 0.02
"""How long claims that wait are given to come back, in seconds, before they are told again."""

type Post = Callable[[Callable[[], None]], None]


class Supply:
    """The store of a worker. ``post`` lets a function be called in the worker's loop, from any thread."""

    def __init__(self, plan: Plan, ready: Ready, tally: Tally, post: Post) -> None:
        self._tally = tally
        self._post = post
        self._is_strict = bool(plan.queues)
        self._asking = Asking(
            lambda: open_broker(parse_url(ready.url), observers=ready.observers, **ready.options),
            lambda answer: post(lambda: self._answered(answer)),
            lambda: post(_nothing),
        )
        self._capabilities = self._asking.broker.capabilities
        if not self._capabilities.shared_between_processes:
            self._asking.close()
            raise ConfigError(
                f"{ready.place} is in one process only, and a worker has several; use a store that is "
                "shared, or app.testing() in tests"
            )
        self._is_burst = plan.burst
        self.names = list(plan.queues or ready.queues)
        """The queues that tasks are taken from."""
        self._parks = (
            not plan.burst and len(self.names) <= plan.concurrency
        )  # else each waits for another's room
        self.sources = [self._source(name, ready.queues[name]) for name in self.names]
        self._ticking: Ticking | None = None
        self._may_tick = False
        self.failure: ConfigError | None = None
        """Why nothing more can be done here."""
        self._late = Late()
        self._unsettled = Unsettled()
        self._claiming: tuple[Source, Claim, float] | None = None
        self._pause = _FIRST_PAUSE
        self._asks_at = 0.0
        self.take: Callable[[Source, Lease], None] = _nobody
        """Is given what was claimed."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be settled, no answer is awaited, and no claim waits."""
        return not self._unsettled and not self._asking.is_busy and not self._parked

    @property
    def is_exhausted(self) -> bool:
        """Whether no queue has anything to claim, as far as is known."""
        return not self._may_tick and self._next_source(math.inf) is None

    def asks_again_at(self, now: float) -> float:
        """Return when something is tried again that could not be done, on the monotonic clock."""
        looks_at = self._asking.patience.looks_at
        if self._asks_at > now:
            return min(self._asks_at, looks_at)
        times = [source.asks_at for source in self.sources if source.may_have]
        return min((at for at in (looks_at, self._unsettled.again_at, *times) if at > now), default=math.inf)

    def schedule(self, app: str, definitions: Sequence[bytes]) -> None:
        """Keep these schedules of an app, and carry out what is due.

        Raises:
            ConfigError: the store cannot keep them.
        """
        if self._ticking is not None:
            self._ticking.use(definitions)
            return
        self._may_tick = True

        def told(may_be_more: bool) -> None:
            self._post(lambda: self._ticked(may_be_more))

        self._ticking = Ticking(lambda: self._asking.broker, app, definitions, told)

    def settle(self, running: Running, command: Settle) -> None:
        """Settle a delivery with the next call."""
        if isinstance(command, Release) and command.delay and not self._capabilities.delay:
            command = replace(command, delay=0.0)
        settling = Settling(running, command)
        try:
            check_batch([command], self._capabilities)
        except TooLarge as refusal:  # no call could take it, nor anything that is settled with it
            self._refused(settling, refusal)
        else:
            self._unsettled.add(settling)

    def done_before(self, running: Running) -> Ended | None:
        """Return how a task's handler has ended here, if its lease ran out before it could be settled."""
        earlier = self._late.before(running)
        if earlier is None:
            return None
        self._unsettled.withdraw(earlier)
        return earlier.ended

    def ask(self, free: int) -> None:
        """Settle what there is to settle and claim up to ``free`` tasks, unless a call is under way.

        A claim for one task waits in the store for each queue that has nothing, as far as ``free`` allows.
        """
        self._asking.patience.look()
        spare = free - len(self._parked) - (self._claiming[1].count if self._claiming else 0)
        now = time.monotonic()
        source = self._next_source(now) if free > 0 else None
        spare = self._wait_where_nothing_is(spare, kept=source is not None)
        if self._asking.is_busy or now < self._asks_at:
            return
        settles, room = self._unsettled.batch(self._capabilities.max_batch)
        commands: list[Command] = list(settles)
        if self._parked and (not self._parks or (source is not None and spare <= 0)):
            self._unpark()
        if source is not None and min(spare, room) > 0:
            claim = source.claim(spare)
            self._claiming = (source, claim, now)
            commands.append(claim)
        if commands:
            self._asking.ask(commands)

    def _next_source(self, now: float) -> Source | None:
        """Return the queue to claim from, by what is known at a time (monotonic)."""
        may_have = (one for one in self.sources if one.may_have and not one.has_left)
        return next((one for one in may_have if one.asks_at <= now), None)

    def stop(self) -> None:
        """Let no claim wait in the store any longer."""
        self._parks = False

    def _unpark(self) -> None:
        """Let the claims that wait come back, and look shortly whether they have."""
        for source in self._parked:
            source.is_unparked = True
        self._asking.broker.unpark()
        self._asks_at = time.monotonic() + _UNPARKING

    @property
    def _parked(self) -> list[Source]:
        return [source for source in self.sources if source.parked is not None]

    def _wait_where_nothing_is(self, spare: int, *, kept: bool) -> int:
        """Return how much is left of what is spare; one is ``kept`` for the queue to claim from next."""
        for source in self.sources:
            if source.seen is not None:
                seen, source.seen = source.seen, None
                source.wait(seen, parks=self._parks and spare > kept)
                spare -= source.parked is not None
        return spare

    def counted(self) -> Counted:
        """Count the tasks of the store, in the calling thread.

        Raises:
            StoreError, Refused: as a broker does.
        """
        return expect(self._asking.apply([Stats(queue="*")])[0], Counted)

    def close(self) -> None:
        """Finish the call that is under way, and close the store."""
        for source in self.sources:
            source.close()
        if self._ticking is not None:
            self._ticking.close()
        self._asking.close()
        if self._ticking is not None:
            self._ticking.join()
        for source in self.sources:
            source.watch.join()

    def _source(self, name: str, info: QueueInfo) -> Source:
        def told(leases: list[Lease], is_sure: bool) -> None:
            self._post(lambda: self._came(source, leases, is_sure))

        def unparked() -> None:
            self._post(lambda: setattr(source, "parked", None))

        source = Source(name, info, self._asking, Watch(self._asking, name, told, unparked))
        return source

    def _came(self, source: Source, leases: list[Lease], is_sure: bool) -> None:
        """There is news of a queue, and perhaps what a waiting claim has taken."""
        source.news(is_sure=is_sure, is_empty=not leases)
        for lease in leases:
            self.take(source, lease)

    def _ticked(self, may_be_more: bool) -> None:
        """Look at the queues that may have got tasks; that also opens a store again that has failed."""
        self._may_tick = may_be_more
        if may_be_more:
            for source in self.sources:
                source.may_have = True

    # --- Answers --------------------------------------------------------------------------------

    def _answered(self, answer: Answer) -> None:
        self._asking.is_busy = False
        claiming, self._claiming = self._claiming, None
        if isinstance(answer, Exception):
            self._failed(answer, claiming)
            return
        self._pause = _FIRST_PAUSE
        for settling, outcome in zip(self._unsettled.answered(), answer):
            if isinstance(outcome, Refused):
                self._refused(settling, outcome)
            else:
                self._settled(*settling, outcome)
                self._look_again(*settling, outcome)
        if claiming is not None:
            self._claimed(*claiming, answer[-1])

    def _failed(self, error: Exception, claiming: tuple[Source, Claim, float] | None) -> None:
        """Nothing was done, or nobody knows: ask the same once more, which does no harm."""
        if claiming is not None and isinstance(error, OutcomeUnknown):
            claiming[0].unanswered(claiming[1])
        _log.warning("the store cannot be used just now, asking again in %.1f s: %s", self._pause, error)
        self._asks_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _has_moved(self, source: Source) -> bool:
        try:
            counted = expect(self._asking.apply([Stats(queue=source.name)])[0], Counted)
        except DistqueueError:  # the next refusal asks again
            return False
        return any(each.fence is FenceLevel.MOVED for each in counted.queues)

    def _leave(self, source: Source, moved: Moved) -> None:
        """Take nothing more from a queue that has gone to another store for good."""
        _log.error("%s", moved)
        source.has_left = True
        if all(one.has_left for one in self.sources):
            self.failure = ConfigError(str(moved))

    def _refused(self, settling: Settling, refusal: Refused) -> None:
        """The store does not take it now, or not as it is; or the delivery is not this worker's any more."""
        running, command = settling
        again = ""
        if isinstance(refusal, PASSING):
            self._unsettled.put_off(settling)
            if isinstance(command, Ack):
                self._late.keep(running)
            again = " yet"
        elif isinstance(command, Ack) and not isinstance(refusal, SettleRefused | Moved):
            self._unsettled.add(Settling(running, running.failed_by(refusal)))
            again = ", its attempt has failed"
        else:
            self._tally.lost += 1
            if isinstance(command, Ack) and isinstance(refusal, LeaseLost) and self._late.keep(running):
                again = " in time; should it come here again next, it is done"
        text = "task %s (%s) could not be settled%s: %s"
        _log.warning(text, *_named(running), again, refusal, extra=running.labels)

    def _settled(self, running: Running, command: Settle, outcome: Outcome) -> None:
        tally = self._tally
        self._late.forget(running)
        if isinstance(command, Retry | Reject):
            tally.failures.append(_failure(running, command.error))
        if isinstance(command, Release):
            tally.released += 1
        elif isinstance(outcome, Settled) and outcome.state is TaskState.DEAD:
            tally.dead += 1
            why = "it was rejected" if isinstance(command, Reject) else "no attempt is left"
            text = "task %s (%s) of queue %s is dead: %s"
            _log.error(text, *_named(running), command.queue, why, extra=running.labels)
        elif isinstance(outcome, Settled) and outcome.state in (TaskState.SCHEDULED, TaskState.READY):
            tally.retried += 1
        else:
            tally.done += 1

    def _look_again(self, running: Running, command: Settle, outcome: Outcome) -> None:
        """Look at the queues that have got a task by what was settled, without waiting for the news of it.

        In a burst at all of them: what the handler has put is there, too, and nothing is waited for.
        """
        frees_group = running.lease.group is not None
        if type(command) is Ack and not command.then and not frees_group and not self._is_burst:
            return
        names = {put.queue for put in command.then} if isinstance(command, Ack) else set()
        if frees_group or (isinstance(outcome, Settled) and outcome.state is TaskState.READY):
            names.add(command.queue)
        for source in self.sources:
            source.may_have = source.may_have or self._is_burst or source.name in names

    def _claimed(self, source: Source, claim: Claim, began: float, outcome: Outcome) -> None:
        if isinstance(outcome, Moved) and self._has_moved(source):
            self._leave(source, outcome)
            return
        if isinstance(outcome, Refused):
            pause = source.put_off()
            _log.warning("queue %s is asked again in %.1f s: %s", source.name, pause, outcome)
            return
        outcome = expect(outcome, Claimed)
        source.answered()
        if not claim.again and len(outcome.leases) < claim.count:
            source.may_have = False
            source.seen = None if source.is_watched else outcome.seen
        if not self._is_strict and outcome.leases:  # the others' turn
            self.sources.append(self.sources.pop(self.sources.index(source)))
        for lease in outcome.leases:
            self.take(source, lease)


def _named(running: Running) -> Sequence[str]:
    return running.lease.task_id, running.task


def _failure(running: Running, error: str | None) -> Failure:
    lease = running.lease
    return Failure(
        at=time.time(), task_id=lease.task_id, task=running.task, attempt=lease.attempt, error=error or ""
    )


def _nothing() -> None:
    pass


def _nobody(source: Source, lease: Lease) -> None:
    raise RuntimeError(f"nobody takes {lease.task_id}")
