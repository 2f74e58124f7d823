"""Random commands on few tasks, so that they meet: what the tests of replay and of the lifecycle feed on."""

from __future__ import annotations

import random
from typing import Any, Final

from distqueue.commands import (
    Ack,
    Cancel,
    Claim,
    Clear,
    Command,
    Extend,
    Fence,
    Find,
    Load,
    Pause,
    Purge,
    Put,
    Redrive,
    Reject,
    Release,
    Resume,
    Retry,
)
from distqueue.fences import EVERY, FenceLevel
from distqueue.payload import encode
from distqueue.results import Claimed, Outcome
from distqueue.retry import Backoff
from distqueue.task import RememberedTask, TaskRecord, TaskState

QUEUES: Final = ("q", "other")
STEADY: Final = Backoff(first=2, jitter=0)
_TASKS: Final = [f"t{number}" for number in range(14)]
_NOTES: Final = ("acme:///there", "acme:///there", "acme:///ä")
_ERRORS: Final = (
    None,
    "boom",
    "broken pipe",
    'ünïcode "quoted"\nline two',
    "half a pair \udcff",
    "long " * 300,
)


class Commands:
    """Makes commands, and notes the receipts and records that their outcomes hold for later ones."""

    def __init__(self, seed: int, *, fences: bool = False) -> None:
        self._fences = fences
        self._random = random.Random(seed)
        self._receipts: list[tuple[str, str]] = [("q", "1.none.t1"), ("q", "nonsense")]
        self._records: list[TaskRecord | RememberedTask] = []
        self._tokens = 0

    def batch(self) -> list[Command]:
        """Return a few commands."""
        return [self._one() for _ in range(self._random.choice((1, 1, 1, 2, 3, 6)))]

    def chance(self, probability: float) -> bool:
        """Tell whether something happens that does so with a probability."""
        return self._random.random() < probability

    def pause(self) -> float:
        """Return for how long nothing happens, in seconds."""
        return self._random.choice((0.0, 0.0, 0.0, 0.125, 0.125, 0.5, 1.0, 1.0, 3.5, 10.0, 40.0))

    def note(self, commands: list[Command], outcomes: list[Outcome]) -> None:
        """Keep what later commands may name."""
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, Claimed):
                self._receipts += [(command.queue, lease.receipt) for lease in outcome.leases]
        self._receipts = self._receipts[-12:]

    def keep(self, records: list[TaskRecord | RememberedTask]) -> None:
        """Keep records that may be loaded again."""
        self._records = (self._records + records)[-30:]

    def _one(self) -> Command:
        if self._fences and self.chance(0.08):
            return self._fence()
        make = self._random.choices(
            (self.put, self._claim, self._settle, self._administer, self._load), (10, 7, 9, 4, 1)
        )[0]
        return make()

    def put(self) -> Put:
        """Return a put with some of the options."""
        pick = self._random
        options: dict[str, Any] = {}
        if pick.random() < 0.6:
            options = {
                "priority": pick.choice((0, 0, 3)),
                "max_attempts": pick.choice((1, 2, 5, None)),
                "group": pick.choice((None, "g", "h")),
                "unique": pick.choice((None, None, None, "u")),
                "expires_in": pick.choice((None, None, 4, 20.5)),
                "keep_done": pick.choice((0, 0, 7.5)),
                "headers": pick.choice((None, None, {}, {"trace": "é\n"})),
                "publisher_id": pick.choice((None, "p")),
                **pick.choice(({}, {}, {"delay": 2}, {"delay": 0}, {"due": 1_750_000_009}, {"due": 5.0})),
            }
        return Put.make(
            pick.choice(QUEUES),
            pick.choice(_TASKS),
            encode(pick.choice((1, 1, 1, "é"))),
            **options,
        )

    def _claim(self) -> Command:
        pick = self._random
        self._tokens += 1
        return Claim(
            queue=pick.choice(QUEUES),
            token=f"token{self._tokens if pick.random() < 0.9 else 1}",
            count=pick.choice((1, 1, 2, 5)),
            lease=pick.choice((0.5, 5, 30.0)),
            again=pick.random() < 0.1,
        )

    def _settle(self) -> Command:
        pick = self._random
        queue, receipt = pick.choice(self._receipts[-4:] if pick.random() < 0.7 else self._receipts)
        error, trace = pick.choice(_ERRORS), pick.choice((None, None, "x.py, line 1", "ä\n" * 5000))
        return pick.choice(
            (
                Ack(queue=queue, receipt=receipt),
                Ack(queue=queue, receipt=receipt, then=tuple(self.put() for _ in range(pick.choice((1, 2))))),
                Retry(
                    queue=queue,
                    receipt=receipt,
                    delay=pick.choice((None, 0, 2.5)),
                    backoff=STEADY,
                    error=error,
                    traceback=trace,
                ),
                Release(queue=queue, receipt=receipt, delay=pick.choice((0, 0, 2.5))),
                Reject(queue=queue, receipt=receipt, error=error, traceback=trace),
                Extend(queue=queue, receipt=receipt, lease=pick.choice((0.25, 40.0))),
            )
        )

    def _administer(self) -> Command:
        pick = self._random
        queue = pick.choice(QUEUES)
        return pick.choice(
            (
                Cancel(queue=queue, task_id=pick.choice(_TASKS)),
                Cancel(queue=queue, task_id=pick.choice(_TASKS)),
                Cancel(queue=queue, task_id=pick.choice(_TASKS)),
                Redrive(queue=queue),
                Redrive(queue=queue, task_id=pick.choice(_TASKS)),
                Redrive(queue=queue, error="bro"),
                Purge(
                    queue=queue,
                    states=pick.choice(
                        ((), (TaskState.DEAD,), (TaskState.LEASED, TaskState.READY), (TaskState.DONE,))
                    ),
                ),
                Pause(queue=queue),
                Resume(queue=queue),
                Resume(queue=queue),
                Resume(queue="never-used"),
                Find(queue=queue, task_id=pick.choice(_TASKS)),
            )
        )

    def _fence(self) -> Command:
        queue = self._random.choice((*QUEUES, "never-used", EVERY))
        if queue != EVERY and self.chance(0.25):
            return Clear(queue=queue)
        levels = [*FenceLevel, *[FenceLevel.NONE] * 7]
        return Fence(queue=queue, level=self._random.choice(levels), note=self._random.choice(_NOTES))

    def _load(self) -> Command:
        if not self._records:
            return self.put()
        record = self._random.choice(self._records)
        return Load.of(record)
