"""The fence around a queue that moves to another store: what it refuses at either end, and how it goes up.

The source goes from ``draining`` over ``frozen`` to ``moved``, the destination is ``filling`` until it is
whole. A fence has a note: the URL of the store at the other end. It is taken down, or moved on, only by who
knows the note, so that two moves to different places never meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from distqueue.errors import Moved, Refused

EVERY: Final = "*"
"""In a fence, instead of a queue: all queues that are not there yet. None can be made while it stands."""


class FenceLevel(StrEnum):
    """What a fence lets through."""

    NONE = "none"
    """Everything: there is no fence."""
    DRAINING = "draining"
    """At the source: what is out is settled (with its follow-up tasks) and time goes on; nothing else."""
    FROZEN = "frozen"
    """At the source: only questions. Nothing changes, not even by time."""
    MOVED = "moved"
    """At the source, when all is over: as ``frozen``, and the queue may be cleared. This is final, unless
    the queue comes back from where it went."""
    FILLING = "filling"
    """At the destination: what is loaded, and questions. Nothing changes by time."""


class Fencing(msgspec.Struct, frozen=True, gc=False):
    """The fence around a queue: how much it lets through, and the URL of the store at the other end."""

    level: FenceLevel
    note: str

    @classmethod
    def of(cls, level: FenceLevel, note: str) -> Fencing:
        """Return a fence; where there is none it is always :data:`OPEN`."""
        return OPEN if level is FenceLevel.NONE else cls(level, note)

    @property
    def stands_still(self) -> bool:
        """Whether nothing happens by time: no lease runs out, no task becomes due or expires."""
        return self.level not in (FenceLevel.NONE, FenceLevel.DRAINING)


OPEN: Final = Fencing(FenceLevel.NONE, "")
"""No fence: nearly every queue has this very object."""
_ORDER: Final = (FenceLevel.DRAINING, FenceLevel.FROZEN, FenceLevel.MOVED)
_HALFWAY: Final = {FenceLevel.DRAINING, FenceLevel.FROZEN}
_LATER: Final = {FenceLevel.FROZEN, FenceLevel.MOVED}
"""No move begins with these: who puts one up around an open queue does not know that it was taken back."""


def refusal(queue: str, fence: Fencing) -> Moved:
    """Return what somebody is told whom a fence does not let through."""
    match fence.level:
        case FenceLevel.MOVED:
            return Moved(f"queue {queue} has moved to {fence.note}; use that URL")
        case FenceLevel.FILLING:
            return Moved(
                f"queue {queue} is being filled by `distqueue move` from {fence.note}; wait for it, or run "
                "it again if it was interrupted"
            )
        case _:
            return Moved(
                f"queue {queue} is being moved to {fence.note}; use that URL once `distqueue move` has "
                "finished, or run it again if it was interrupted"
            )


def not_filled(queue: str, source: str) -> Moved:
    """Return what a move is told that comes too late to load anything."""
    return Moved(
        f"queue {queue} is not being filled from {source} any more: the same move has finished meanwhile, or "
        "was taken back; run `distqueue move` again to see"
    )


def _taken_back(queue: str, note: str) -> Moved:
    return Moved(
        f"the move of queue {queue} to {note} was taken back meanwhile (--undo); run `distqueue move` again "
        "if it is to move"
    )


def next_fence(queue: str, now: Fencing, level: FenceLevel, note: str, *, has_tasks: bool) -> Fencing:
    """Return the fence that stands after a ``Fence`` command.

    It begins with ``draining`` or ``filling``, and never goes back by a step, but is taken down (``none``)
    as long as the queue has not moved. One that begins to be filled forgets what it held: only a queue
    without tasks may be, or one that has moved to where it now comes back from.

    Raises:
        Moved: the queue is fenced with another note, is at the other end of a move, or has moved for good, or
            a move goes on that was taken back.
        Refused: a queue that has tasks is to be filled.
    """
    if now is OPEN:
        if level is FenceLevel.FILLING and has_tasks:
            raise Refused(
                f"queue {queue} has tasks, and what is moved must not be mixed with them; move to another "
                "store, or purge them first"
            )
        if level in _LATER:
            raise _taken_back(queue, note)
        return Fencing.of(level, note)
    if note != now.note:
        raise refusal(queue, now)
    if level is FenceLevel.NONE:
        if now.level is FenceLevel.MOVED and queue != EVERY:
            raise refusal(queue, now)
        return OPEN
    ends = {now.level, level}
    if FenceLevel.FILLING in ends and ends & _HALFWAY:
        raise refusal(queue, now)
    if now.level in _ORDER and level in _ORDER:
        level = max(now.level, level, key=_ORDER.index)
    return Fencing(level, note)


def lowest(fences: Sequence[Fencing]) -> Fencing:
    """Return one fence for the parts of a queue: the one that lets most through of those that stand.

    They differ only between the first part that a command has reached and the last.
    """
    standing = [fence for fence in fences if fence is not OPEN]
    return min(standing, key=lambda fence: [*FenceLevel].index(fence.level), default=OPEN)


def around_new(fence: Fencing) -> Fencing:
    """Return the fence around a queue that is not there, given that of :data:`EVERY`."""
    return Fencing(FenceLevel.FROZEN, fence.note) if fence.level is FenceLevel.DRAINING else fence
