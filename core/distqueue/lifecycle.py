"""The life of a task as one table: everything that may happen to it, and where that leads.

            put (due later)                     put
                 ▼            due                ▼         claim
            scheduled ─────────────────────▶  ready  ────────────────▶ leased ── ack ──▶ done
                 ▲                               ▲                        │
                 └──── retry(delay), ────────────┼── retry(0), release, ──┤
                       release(delay)            │   lease ran out        ├── reject, or
                                                 │                        ▼   attempts used up
                                                 └────────────── redrive ── dead
    cancel, purge, expiry ──▶ gone

Whatever is not in the table may not happen; the conformance suite checks every observed step of
every backend against it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from distqueue.task import TaskState


class TaskEvent(StrEnum):
    """What can happen to a task."""

    PUT = "put"
    DUE = "due"
    CLAIM = "claim"
    ACK = "ack"
    RETRY = "retry"
    RELEASE = "release"
    REJECT = "reject"
    EXTEND = "extend"
    LAPSE = "lapse"
    REDRIVE = "redrive"
    CANCEL = "cancel"
    PURGE = "purge"
    EXPIRE = "expire"
    FORGET = "forget"


GONE: Final = None
"""Where a task is that is no longer in the store; also where it is before it is put."""

_S = TaskState
_E = TaskEvent

TRANSITIONS: Final[dict[tuple[TaskState | None, TaskEvent], frozenset[TaskState | None]]] = {
    (GONE, _E.PUT): frozenset({_S.READY, _S.SCHEDULED}),
    (_S.SCHEDULED, _E.DUE): frozenset({_S.READY}),
    (_S.READY, _E.CLAIM): frozenset({_S.LEASED}),
    (_S.LEASED, _E.ACK): frozenset({_S.DONE, GONE}),
    (_S.LEASED, _E.RETRY): frozenset({_S.SCHEDULED, _S.READY, _S.DEAD}),
    (_S.LEASED, _E.RELEASE): frozenset({_S.SCHEDULED, _S.READY}),
    (_S.LEASED, _E.REJECT): frozenset({_S.DEAD}),
    (_S.LEASED, _E.EXTEND): frozenset({_S.LEASED}),
    (_S.LEASED, _E.LAPSE): frozenset({_S.READY, _S.DEAD}),
    (_S.DEAD, _E.REDRIVE): frozenset({_S.READY}),
    (_S.SCHEDULED, _E.EXPIRE): frozenset({GONE}),
    (_S.READY, _E.EXPIRE): frozenset({GONE}),
    (_S.DONE, _E.FORGET): frozenset({GONE}),
    **{(state, _E.CANCEL): frozenset({GONE}) for state in TaskState},
    **{(state, _E.PURGE): frozenset({GONE}) for state in TaskState},
}


def is_allowed(before: TaskState | None, event: TaskEvent, after: TaskState | None) -> bool:
    """Tell whether ``event`` may lead from ``before`` to ``after`` (``None``: not in the store)."""
    return after in TRANSITIONS.get((before, event), frozenset())
