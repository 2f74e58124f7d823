"""Random damage to a good history is found, whatever it hits."""

from __future__ import annotations

import random

import msgspec
import pytest

from distqueue.conformance.checker import Result, check
from distqueue.conformance.history import (
    AnyEvent,
    Delivered,
    Drained,
    Fault,
    PublishInvoked,
    PublishOk,
    SettleOk,
)

from .histories import good_history


def damaged(history: list[AnyEvent], chance: random.Random) -> list[AnyEvent]:
    """Return the history with one event changed so that a promise is broken."""
    changed = list(history)
    kind = chance.choice(DAMAGE)
    kind(changed, chance)
    return sorted(changed, key=lambda event: event.at)


def some[E: AnyEvent](history: list[AnyEvent], kind: type[E], chance: random.Random) -> E:
    return chance.choice([event for event in history if isinstance(event, kind)])


def deliver_again(history: list[AnyEvent], chance: random.Random) -> None:
    ack = chance.choice([each for each in history if isinstance(each, SettleOk) and each.verb == "ack"])
    delivered = next(each for each in history if isinstance(each, Delivered) and each.receipt == ack.receipt)
    late = msgspec.structs.replace(
        delivered, asked=ack.at + 0.0001, at=ack.at + 0.0002, deliveries=9, receipt="9.x"
    )
    history.append(late)


def alter_payload(history: list[AnyEvent], chance: random.Random) -> None:
    event = some(history, Delivered, chance)
    history[history.index(event)] = msgspec.structs.replace(event, checksum=99)


def forget_publishing(history: list[AnyEvent], chance: random.Random) -> None:
    delivered = some(history, Delivered, chance).task_id
    history[:] = [
        each for each in history if not (isinstance(each, PublishInvoked) and each.task_id == delivered)
    ]


def lose(history: list[AnyEvent], chance: random.Random) -> None:
    lost_id = some(history, PublishOk, chance).task_id
    publishing = (PublishInvoked, PublishOk, Drained, Fault)
    history[:] = [
        each for each in history if isinstance(each, publishing) or getattr(each, "task_id", "") != lost_id
    ]


def double_the_store(history: list[AnyEvent], chance: random.Random) -> None:
    event = chance.choice([each for each in history if isinstance(each, PublishOk) and not each.duplicate])
    history.append(msgspec.structs.replace(event, at=event.at + 0.0001))


def rename(history: list[AnyEvent], chance: random.Random) -> None:
    event = some(history, Delivered, chance)
    history[history.index(event)] = msgspec.structs.replace(event, task_id="nobody")


def ack_with_another_receipt(history: list[AnyEvent], chance: random.Random) -> None:
    ack = chance.choice([each for each in history if isinstance(each, SettleOk) and each.verb == "ack"])
    history.append(msgspec.structs.replace(ack, receipt="8.other"))


def number_twice(history: list[AnyEvent], chance: random.Random) -> None:
    history.append(msgspec.structs.replace(some(history, Delivered, chance), process="c9"))


def leave_over(history: list[AnyEvent], chance: random.Random) -> None:
    history[:] = [
        msgspec.structs.replace(each, left=1) if isinstance(each, Drained) else each for each in history
    ]


DAMAGE = [
    deliver_again,
    alter_payload,
    forget_publishing,
    lose,
    double_the_store,
    rename,
    ack_with_another_receipt,
    number_twice,
    leave_over,
]


@pytest.mark.parametrize("seed", range(200))
def test_damage_to_a_good_history_is_found(seed: int) -> None:
    chance = random.Random(seed)
    assert check(damaged(good_history(chance.randint(6, 20)), chance)).result is Result.INVALID
