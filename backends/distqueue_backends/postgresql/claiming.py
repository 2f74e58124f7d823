"""The verb that hands out tasks: what the database is asked, and what it answers; also together with acks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from distqueue.commands import Claim
from distqueue.results import Claimed, Seen
from distqueue_backends.postgresql.hint import Hint
from distqueue_backends.postgresql.reading import lease_of
from distqueue_backends.postgresql.refusals import fenced
from distqueue_backends.postgresql.session import Execute

_ASKED: Final = "%s, %s::int4, %s::float8, %s, %s::int8, %s::int2, %s::int8"
CLAIM: Final = f"SELECT * FROM {{}}.claim({_ASKED})"
ACK_AND_CLAIM: Final = (
    "SELECT * FROM {}.ack_and_claim(%s, %s::float8, %b::text[], %b::text[], %b::int8[], " + _ASKED + ")"
)
PUTTING: Final = "SELECT {}.putting()"
_ORD: Final = 13
"""The column ``ord`` of ``ack_and_claim``, which only the rows have that answer acks."""


class Claiming:
    """A claim, from where the hint of its queue says.

    ``room`` is for so many payload bytes; ``seen`` is what was known of the queue before.
    """

    def __init__(self, claim: Claim, hint: Hint, room: int, seen: int, execute: Execute) -> None:
        self._claim = claim
        self._hint = hint
        self._seen = seen
        place = hint.place(lambda: execute(PUTTING, ())[0][0])
        self.asked: tuple[Any, ...] = (
            claim.queue,
            claim.count,
            float(claim.lease),
            claim.token,
            room,
            *place,
        )
        """The arguments of what the database is asked."""
        self.ahead: float | None = None
        """By how much the clock of the server is before that of this machine, if it was told."""

    def claimed(self, rows: Sequence[Any]) -> Claimed:
        """Return what was claimed.

        Raises:
            Refused: a fence stands around the queue.
        """
        code, detail, _, _, _, wake_at, now, _, _, note = rows[0][:10]
        if code == "fence":
            raise fenced(self._claim.queue, detail, note)
        if code == "none":
            self._hint.forget()
            self.ahead = now - time.time()
            return Claimed(leases=[], seen=Seen(self._seen, wake_at))
        if len(rows) < self._claim.count:
            self._hint.forget()
        else:
            places = [(row[7], row[12]) for row in rows if row[12] is not None]
            first, last = (places[0], places[-1]) if places else (None, None)
            self._hint.claimed(first, last)
        return Claimed(leases=[lease_of(row, self._claim.token) for row in rows])


def divided(rows: Sequence[Any]) -> tuple[list[Any], Sequence[Any]]:
    """Return what acks are answered, and what the claim with them is."""
    count = sum([row[_ORD] is not None for row in rows])
    acked = [(row[_ORD], row[0], row[1], row[5], row[9]) for row in rows[:count]]
    return acked, rows[count:]
