"""The failed attempts that are kept with a task: which of them, and how much of each."""

from __future__ import annotations

from collections.abc import Sequence

from distqueue.limits import MAX_FAILURE_ERROR, MAX_FAILURES, MAX_TRACEBACK, cut_error
from distqueue.task import FailedAttempt


def with_failure(
    failures: Sequence[FailedAttempt],
    attempt: int,
    at: float,
    verb: str,
    error: str | None,
    traceback: str | None = None,
) -> tuple[FailedAttempt, ...]:
    """Return the failed attempts of a task with one more: the newest 10, the oldest of them first.

    Of an error of more than 1,024 characters the middle is cut out, and of a traceback of more than 8,192.

    >>> with_failure((), 1, 1764000000.0, "retry", "no route")
    (FailedAttempt(attempt=1, at=1764000000.0, verb='retry', error='no route', traceback=None),)
    """
    failed = FailedAttempt(
        attempt, at, verb, cut_error(error, MAX_FAILURE_ERROR), cut_error(traceback, MAX_TRACEBACK)
    )
    return (*failures, failed)[-MAX_FAILURES:]
