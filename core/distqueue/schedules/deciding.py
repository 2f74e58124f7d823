"""What is to be put when a link is carried out, early or late."""

from __future__ import annotations

from itertools import chain, islice
from typing import NamedTuple

from distqueue.schedules.schedule import Missed, Schedule


class Decision(NamedTuple):
    """The ticks to be put now, and the one that the next link waits for; ``None`` ends the chain."""

    ticks: tuple[float, ...]
    next_at: float | None


def decide(schedule: Schedule, at: float, now: float, *, is_paused: bool, room: int) -> Decision:
    """Decide about the link of a tick: ``at`` was its time, ``now`` it is.

    A tick is missed if the next one is due as well by now, or if it is late by more than the grace.
    At most ``room`` ticks are put, the rest with the next link.

    Raises:
        ConfigError: when the schedule ticks cannot be known here.
    """
    ticks = schedule.ticks()
    now = max(now, at)  # the store's clock said so
    if schedule.missed is Missed.ALL and not is_paused:
        due = tuple(islice(chain((at,), ticks.between(at, now)), room))
        return Decision(due, ticks.after(due[-1]))
    latest = ticks.latest(at, now) or at
    is_left_out = is_paused or (schedule.missed is Missed.SKIP and now > latest + schedule.grace)
    return Decision(() if is_left_out else (latest,), ticks.after(now))
