"""Holding clauses against a store in this process, one after the other."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from distqueue.conformance import BackendConformance
from distqueue.conformance.clauses import clause_of
from distqueue.conformance.harness import Harness, harness_for
from distqueue.conformance.report import State
from distqueue.conformance.served import ThroughAPipe
from tests.mutants.damaged import PREPARE, damaged
from tests.mutants.mutant import Mutant

type Test = Callable[..., None]
type Check = Callable[[BackendConformance], None]

PATIENCE: Final = 1.0
"""How long a clause waits for what a mutant may never do, in seconds."""


def find_tests() -> dict[str, Test]:
    """Return the test of each clause, by the id of that."""
    members = [getattr(BackendConformance, name) for name in dir(BackendConformance)]
    return {clause.id: member for member in members if (clause := clause_of(member)) is not None}


TESTS: Final = find_tests()


def hold_against(mutant: Mutant, clause: str, directory: Path) -> State:
    """Hold a clause against a mutant: it fails at the first set of parameters that finds the mutant out."""
    suite = suite_for(mutant.url, is_served=mutant.is_served, prepare=PREPARE, patience=PATIENCE)
    with damaged(mutant):
        states = [_state(suite(), check, directory) for check in checks(clause)]
    return next((state for state in (State.FAIL, State.NOT_RUN) if state in states), State.PASS)


def suite_for(
    store: str, *, is_served: bool = False, prepare: str = "", patience: float = 20.0
) -> type[BackendConformance]:
    """Return the suite for a store, served or not; its other processes are prepared as is said."""
    kind: type[Harness] = harness_for(store)

    class Prepared(kind):  # type: ignore[misc, valid-type]
        pass

    Prepared.prepare = prepare

    ways_in = (ThroughAPipe,) if is_served else ()

    class Suite(*ways_in, BackendConformance):  # type: ignore[misc]
        url = store
        harness = Prepared
        tries_again = False

    Suite.patience = patience
    return Suite


def checks(clause: str) -> Iterator[Check]:
    """Return the test of a clause, once with each set of its parameters."""
    test = TESTS[clause]
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    names = [mark.args[0] for mark in marks]
    for values in itertools.product(*[mark.args[1] for mark in marks]):
        yield _with(test, dict(zip(names, values)))


def _with(test: Test, parameters: dict[str, object]) -> Check:
    return lambda subject: test(subject, **parameters)


def _state(subject: BackendConformance, check: Check, directory: Path) -> State:
    """Return what becomes of a test: a store that cannot be opened fails, how it is closed is no matter."""
    state = State.FAIL
    mistakes: list[str] = []
    with suppress(Exception), subject.opened_in(directory):
        try:
            check(subject)
            state = State.PASS
        except pytest.skip.Exception:
            state = State.NOT_RUN
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is
            state = State.FAIL
            mistakes += _mistakes(error)
    assert mistakes == [], "the mutant itself is wrong, and whatever it breaks shows nothing"
    return state


def _mistakes(error: BaseException) -> list[str]:
    """Return what a mutant does wrong that no author of a backend would: an error of its own code."""
    frames = traceback.extract_tb(error.__traceback__)
    is_own = bool(frames) and Path(frames[-1].filename).parent == Path(__file__).parent
    wrong = is_own and isinstance(error, (TypeError, AttributeError, NameError))
    return [f"{type(error).__name__}: {error} in {frames[-1].name}"] if wrong else []
