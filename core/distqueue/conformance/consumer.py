"""A child process that claims and settles under load: ``python -m distqueue.conformance.consumer``.

The first line of its input is JSON of :class:`Plan`. It consumes until its input ends and records what it
did. Most deliveries are acked; some are extended first, and some are retried or released, as the seed says.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.commands import Ack, Claim, Extend, Release, Retry, Settle
from distqueue.conformance.history import (
    Delivered,
    Event,
    Recorder,
    SettleInvoked,
    SettleOk,
    SettleStale,
    SettleUnknown,
    now,
    payload_checksum,
)
from distqueue.conformance.publisher import input_ended
from distqueue.errors import OutcomeUnknown, Refused, StoreBusy
from distqueue.ids import new_token
from distqueue.opening import open_broker
from distqueue.results import Claimed, Lease, Outcome, Seen

IDLE: Final = 0.2
"""How long an idle consumer waits, in seconds, before it looks whether its input has ended."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one consumer does. ``name`` is unique to the process, ``lease`` is in seconds.

    ``gives_back`` is the share of deliveries that are retried or released.
    """

    url: str
    queue: str
    name: str
    history: str
    seed: int
    lease: float
    largest_claim: int = 20
    gives_back: float = 0.04


@dataclass(slots=True)
class Consumer:
    """The state of a running consumer."""

    plan: Plan
    broker: Broker
    recorder: Recorder
    chance: random.Random

    def run(self) -> None:
        """Claim and settle until the input ends."""
        while not input_ended():
            claimed = self.claim()
            if not claimed.leases:
                self.broker.wait(self.plan.queue, claimed.seen, IDLE)
            elif self.chance.random() < 0.5:
                self.settle(claimed.leases)
            else:
                for lease in claimed.leases:
                    self.settle([lease])

    def claim(self) -> Claimed:
        """Claim some tasks and record their deliveries."""
        size = self.chance.randint(1, self.plan.largest_claim)
        asked = now()
        command = Claim(queue=self.plan.queue, token=new_token(), count=size, lease=self.plan.lease)
        try:
            claimed = self.broker.apply([command])[0]
        except (OutcomeUnknown, StoreBusy):
            return Claimed(leases=[], seen=Seen())
        assert isinstance(claimed, Claimed), claimed
        at = now()
        self.recorder.record(
            self.delivered(lease, asked, at, position) for position, lease in enumerate(claimed.leases)
        )
        return claimed

    def settle(self, leases: list[Lease]) -> None:
        """Settle deliveries in one call, some of them after prolonging their lease."""
        longer = [lease for lease in leases if self.chance.random() < self.plan.gives_back]
        if longer:
            self.send([self.extend(lease) for lease in longer], longer)
        self.send([self.verb(lease) for lease in leases], leases)

    def send(self, commands: list[Settle], leases: list[Lease]) -> None:
        """Send settling commands until none has an unknown outcome, and record their answers."""
        pairs = list(zip(commands, leases))
        while pairs:
            self.recorder.record(self.invoked(command, lease) for command, lease in pairs)
            outcomes = self.attempt([command for command, _ in pairs])
            at = now()
            answers = list(zip(pairs, outcomes))
            self.recorder.record(self.answered(*pair, outcome, at) for pair, outcome in answers)
            pairs = [pair for pair, outcome in answers if isinstance(outcome, (OutcomeUnknown, StoreBusy))]

    def attempt(self, commands: list[Settle]) -> list[Outcome | OutcomeUnknown | StoreBusy]:
        """Send the commands once."""
        try:
            return list(self.broker.apply(commands))
        except (OutcomeUnknown, StoreBusy) as error:
            return [error] * len(commands)

    def verb(self, lease: Lease) -> Settle:
        """Choose how a delivery is settled."""
        queue, receipt = self.plan.queue, lease.receipt
        if self.chance.random() >= self.plan.gives_back:
            return Ack(queue=queue, receipt=receipt)
        if self.chance.random() < 0.5:
            return Retry(queue=queue, receipt=receipt, delay=0.0, error="by chance")
        return Release(queue=queue, receipt=receipt)

    def extend(self, lease: Lease) -> Settle:
        """Prolong a lease to twice its length."""
        return Extend(queue=self.plan.queue, receipt=lease.receipt, lease=self.plan.lease * 2)

    def delivered(self, lease: Lease, asked: float, at: float, position: int) -> Event:
        """The event of a delivery."""
        return Delivered(
            at=at,
            process=self.plan.name,
            task_id=lease.task_id,
            checksum=payload_checksum(lease.data),
            queue=self.plan.queue,
            receipt=lease.receipt,
            deliveries=lease.deliveries,
            attempt=lease.attempt,
            asked=asked,
            lease=self.plan.lease,
            position=position,
        )

    def invoked(self, command: Settle, lease: Lease) -> Event:
        """The event of a settling command that is about to be sent."""
        return SettleInvoked(
            at=now(),
            process=self.plan.name,
            task_id=lease.task_id,
            receipt=lease.receipt,
            verb=_name(command),
            lease=command.lease if isinstance(command, Extend) else 0.0,
        )

    def answered(
        self, command: Settle, lease: Lease, outcome: Outcome | OutcomeUnknown | StoreBusy, at: float
    ) -> Event:
        """The event of an answer."""
        process, task_id, receipt, verb = self.plan.name, lease.task_id, lease.receipt, _name(command)
        error = type(outcome).__name__
        match outcome:
            case Refused():
                return SettleStale(
                    at=at, process=process, task_id=task_id, receipt=receipt, verb=verb, error=error
                )
            case OutcomeUnknown() | StoreBusy():
                return SettleUnknown(
                    at=at, process=process, task_id=task_id, receipt=receipt, verb=verb, error=error
                )
            case _:
                return SettleOk(at=at, process=process, task_id=task_id, receipt=receipt, verb=verb)


def _name(command: Settle) -> str:
    return type(command).__name__.lower()


def main(plan: Plan) -> None:
    """Carry out a plan."""
    recorder = Recorder(plan.history, plan.name)
    broker = open_broker(plan.url)
    Consumer(plan, broker, recorder, random.Random(plan.seed)).run()  # noqa: S311 - choice of verbs
    broker.close()
    recorder.close()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan))
