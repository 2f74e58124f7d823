"""Which clauses find out which mutant: ``python -m tests.mutants.survey [NAME ...]``.

Holds the whole suite against the mutants that are named, against all if none is, and prints for each what
found it out, with a star what it is said to be found out by; at last the clauses that found out none.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from distqueue.conformance import BackendConformance
from distqueue.conformance.clauses import CLAUSES
from distqueue.conformance.report import State
from tests.mutants import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.running import run


def main(names: list[str]) -> None:
    """Run the survey."""
    assert BackendConformance  # which registers the clauses
    left = set(CLAUSES)
    for name in names or MUTANTS:
        found = survey(MUTANTS[name])
        left -= found
    print(f"\n{len(left)} clauses found out none: {' '.join(each for each in CLAUSES if each in left)}")


def survey(mutant: Mutant) -> set[str]:
    """Hold every clause against a mutant, print and return those that fail."""
    with tempfile.TemporaryDirectory() as directory:
        results = run(mutant, Path(directory))
    found = {clause for clause, result in results.items() if result.state is State.FAIL}
    marked = [f"{each}*" if each in mutant.caught_by else each for each in CLAUSES if each in found]
    missed = [each for each in mutant.caught_by if each not in found]
    print(f"{mutant.name} ({mutant.wrong}):\n    {' '.join(marked) or 'NOTHING'}", flush=True)
    if missed:
        print(f"    NOT by {' '.join(missed)}", flush=True)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
