"""Holding a clause against a backend: what is tried, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn
from unittest import SkipTest

import pytest

from distqueue.conformance.clauses import Clause
from distqueue.conformance.report import Fact, State

if TYPE_CHECKING:
    from distqueue.conformance.suite.subject import Subject


_ENDS_A_TEST: Final = (pytest.skip.Exception, pytest.xfail.Exception, SkipTest, pytest.exit.Exception)
"""With what a test ends without having failed, as pytest sees it; in a clause it is a failure."""


class NotRun(Exception):
    """A clause was not run, and the message says why."""


def hold(subject: Subject, clause: Clause, test: Callable[[], None]) -> None:
    """Hold a clause against the backend of a subject, and note what became of it.

    One whose capability is not declared is refused: then what is left without it is checked. One that asks
    what the harness cannot do is not run. One that fails, and does not fail again, is flaky.
    """
    missing = next((capability for capability in clause.needs if subject.lacks(capability)), None)
    if missing is None:
        _ask_for(subject, clause)
        check = test
    else:
        subject.note(Fact.STATE, State.REFUSED)
        subject.note(Fact.REASON, f"{missing} is not declared")
        check = _without(subject, missing)
    try:
        _check_without_skipping(subject, check)
    except (Exception, pytest.fail.Exception) as error:
        if subject.tries_again and subject.passes_now(check):
            subject.note(Fact.STATE, State.FLAKY)
            error.add_note("FLAKY: it passed when it was tried again")
        error.add_note(f"{clause.id}: {clause.text}\nwhere to look: {clause.look}")
        raise


def _without(subject: Subject, capability: str) -> Callable[[], None]:
    return lambda: subject.check_without(capability)


def _ask_for(subject: Subject, clause: Clause) -> None:
    """End the test if the harness cannot do what the clause asks, or it takes too long for a quick run."""
    reasons = [reason for ability in clause.asks if (reason := subject.rig.missing(ability)) is not None]
    if clause.slow and subject.is_quick:
        reasons.append("it is left out of a quick run")
    if reasons:
        _leave_out(subject, reasons[0])


def _check_without_skipping(subject: Subject, check: Callable[[], None]) -> None:
    try:
        check()
    except NotRun as left_out:
        _leave_out(subject, str(left_out))
    except _ENDS_A_TEST as skipped:
        raise AssertionError(f"a clause cannot be skipped: declare less instead ({skipped})") from None


def _leave_out(subject: Subject, why: str) -> NoReturn:
    subject.note(Fact.STATE, State.NOT_RUN)
    subject.note(Fact.REASON, why)
    pytest.skip(f"NOT RUN: {why}")
