"""A child process that puts tasks under load: ``python -m distqueue.conformance.publisher``.

The first line of its input is JSON of :class:`Plan`. It publishes until ``count`` tasks are stored or its
input ends, and records what it did. First it publishes again, with the same ids, what a killed predecessor
did not get an answer for: what a careful publisher does.
"""

from __future__ import annotations

import itertools
import random
import select
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from distqueue import payload
from distqueue.broker import Broker
from distqueue.commands import Command, Put, Stats
from distqueue.conformance.history import (
    Event,
    PublishInvoked,
    PublishOk,
    PublishRefused,
    PublishUnknown,
    Recorder,
    now,
    payload_checksum,
    read_events,
)
from distqueue.errors import OutcomeUnknown, Refused, StoreBusy
from distqueue.opening import open_broker
from distqueue.results import Counted, Outcome, Stored

STATS_EVERY: Final = 16
"""After how many calls the publisher looks whether it is too far ahead of the consumers."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one publisher does. ``name`` is unique to the process, ``before`` a predecessor's history."""

    url: str
    queue: str
    name: str
    history: str
    seed: int
    count: int | None = None
    largest_batch: int = 20
    backlog: int = 1000
    before: str | None = None


@dataclass(slots=True)
class Publisher:
    """The state of a running publisher."""

    plan: Plan
    broker: Broker
    recorder: Recorder
    chance: random.Random
    number: int = 0

    def run(self) -> None:
        """Publish until there is enough or the input ends."""
        for put in self.unanswered():
            self.publish([put])
        for call in itertools.count():
            if self.number == self.plan.count or input_ended():
                return
            if call % STATS_EVERY == 0:
                self.wait_for_consumers()
            self.publish([self.next_put() for _ in range(self.batch_size())])

    def batch_size(self) -> int:
        """Choose how many tasks the next call holds."""
        size = self.chance.randint(1, self.plan.largest_batch)
        return size if self.plan.count is None else min(size, self.plan.count - self.number)

    def next_put(self) -> Put:
        """Make the next task; everything in it follows from its id, so that it can be made again."""
        self.number += 1
        return make_put(self.plan.queue, f"{self.plan.name}.{self.number}")

    def publish(self, puts: list[Put]) -> None:
        """Put tasks until none of them has an unknown outcome."""
        while puts:
            self.recorder.record(self.invoked(put) for put in puts)
            outcomes = self.attempt(puts)
            at = now()
            self.recorder.record(self.answered(put, outcome, at) for put, outcome in zip(puts, outcomes))
            pending = zip(puts, outcomes)
            puts = [put for put, outcome in pending if isinstance(outcome, (OutcomeUnknown, StoreBusy))]

    def attempt(self, commands: Sequence[Command]) -> list[Outcome | OutcomeUnknown | StoreBusy]:
        """Carry out commands once."""
        try:
            return list(self.broker.apply(commands))
        except (OutcomeUnknown, StoreBusy) as error:
            return [error] * len(commands)

    def invoked(self, put: Put) -> Event:
        """The event of a put that is about to be sent."""
        return PublishInvoked(
            at=now(),
            process=self.plan.name,
            task_id=put.task_id,
            checksum=payload_checksum(put.data),
            queue=put.queue,
            number=int(put.task_id.rpartition(".")[2]),
        )

    def answered(self, put: Put, outcome: Outcome | OutcomeUnknown | StoreBusy, at: float) -> Event:
        """The event of an answer."""
        process, task_id, error = self.plan.name, put.task_id, type(outcome).__name__
        match outcome:
            case Stored(duplicate=duplicate):
                return PublishOk(at=at, process=process, task_id=task_id, duplicate=duplicate)
            case Refused() | StoreBusy():
                return PublishRefused(at=at, process=process, task_id=task_id, error=error)
            case _:
                return PublishUnknown(at=at, process=process, task_id=task_id, error=error)

    def unanswered(self) -> Iterator[Put]:
        """Make again the tasks that the predecessor got no answer for."""
        if self.plan.before is None:
            return
        waiting: dict[str, str] = {}
        for event in read_events(Path(self.plan.before)):
            if isinstance(event, PublishInvoked):
                waiting[event.task_id] = event.queue
            elif isinstance(event, (PublishOk, PublishRefused)):
                waiting.pop(event.task_id, None)
        for task_id, queue in waiting.items():
            yield make_put(queue, task_id)

    def wait_for_consumers(self) -> None:
        """Let the consumers catch up if too much is ready, so that draining ends in reasonable time."""
        while self.ready() > self.plan.backlog and not input_ended():
            time.sleep(0.005)

    def ready(self) -> int:
        """How many tasks are ready, none if the backend cannot count them, or not now."""
        outcome = self.attempt([Stats(queue=self.plan.queue)])[0]
        return outcome.queues[0].ready if isinstance(outcome, Counted) and outcome.queues else 0


def make_put(queue: str, task_id: str) -> Put:
    """Make the task of an id: always the same one, so that publishing again is publishing it again."""
    filling = random.Random(task_id).randint(0, 300)  # noqa: S311 - the length of a payload
    data = {"id": task_id, "filling": "x" * filling}
    return Put.make(queue, task_id, payload.encode(data), max_attempts=None)


def input_ended() -> bool:
    """Whether the parent has closed our input, or is gone: then stop in good order."""
    return bool(select.select([0], [], [], 0)[0])


def main(plan: Plan) -> None:
    """Carry out a plan."""
    recorder = Recorder(plan.history, plan.name)
    broker = open_broker(plan.url)
    Publisher(plan, broker, recorder, random.Random(plan.seed)).run()  # noqa: S311 - sizes of batches
    broker.close()
    recorder.close()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan))
