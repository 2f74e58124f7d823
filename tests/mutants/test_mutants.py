"""The suite finds out each mutant, and each clause finds out at least one."""

from __future__ import annotations

from pathlib import Path

import pytest

from distqueue.conformance import BackendConformance
from distqueue.conformance.clauses import CLAUSES
from distqueue.conformance.report import State

from . import MUTANTS
from .running import run

UNCOVERED: frozenset[str] = frozenset()
"""Clauses that find out no mutant yet: this has to become empty."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found_out(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    results = run(mutant, tmp_path, mutant.caught_by)
    states = {clause: results[clause].state for clause in mutant.caught_by if clause in results}
    assert states == dict.fromkeys(mutant.caught_by, State.FAIL), mutant.wrong


def test_each_clause_finds_out_a_mutant() -> None:
    assert BackendConformance  # which registers the clauses
    finding = {clause for mutant in MUTANTS.values() for clause in mutant.caught_by}
    assert finding <= CLAUSES.keys()
    assert CLAUSES.keys() - finding == UNCOVERED
