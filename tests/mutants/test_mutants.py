"""The suite finds out each mutant, and each clause finds out at least one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distqueue.conformance.clauses import CLAUSES
from distqueue.conformance.report import State

from . import MUTANTS
from .running import checks, hold_against, suite_for


@pytest.mark.filterwarnings("ignore")  # what a mutant leaves open, and what its threads die of
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found_out(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    states = {clause: hold_against(mutant, clause, tmp_path) for clause in mutant.caught_by}
    missed = [clause for clause, state in states.items() if state is State.PASS]
    assert missed == [], mutant.wrong
    if left_out := [clause for clause, state in states.items() if state is State.NOT_RUN]:
        why = f"NOT RUN here: {left_out}"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


USED = sorted({(each.url, each.is_served, clause) for each in MUTANTS.values() for clause in each.caught_by})
"""Each store that is damaged, with each clause that has to find that out."""


@pytest.mark.parametrize(("store", "is_served", "clause"), USED)
def test_the_real_store_is_not(store: str, is_served: bool, clause: str, tmp_path: Path) -> None:
    for check in checks(clause):
        subject = suite_for(store, is_served=is_served)()
        with subject.opened_in(tmp_path):
            check(subject)


def test_each_clause_finds_out_a_mutant() -> None:
    finding = {clause for mutant in MUTANTS.values() for clause in mutant.caught_by}
    assert finding == CLAUSES.keys()
