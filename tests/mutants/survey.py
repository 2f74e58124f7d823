"""Which clauses find out which mutant: ``python -m tests.mutants.survey [NAME ...]``.

Holds the whole suite, but for what takes long, against the mutants that are named, against all if none is.
Prints for each what found it out, with a star what it is said to be found out by; at last the clauses that
found out none.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Final

from distqueue.conformance.clauses import CLAUSES
from distqueue.conformance.report import State
from tests.mutants import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.running import hold_against

LIMIT: Final = 20.0
"""How long one clause may take, in seconds: a mutant may hang in one that nobody expects to find it out."""


def main(names: list[str]) -> None:
    """Run the survey."""
    signal.signal(signal.SIGALRM, _too_long)
    left = set(CLAUSES)
    for name in names or MUTANTS:
        left -= survey(MUTANTS[name])
    print(f"\n{len(left)} clauses found out none: {' '.join(each for each in CLAUSES if each in left)}")


def survey(mutant: Mutant) -> set[str]:
    """Hold every clause against a mutant, print and return those that fail."""
    wanted = [clause.id for clause in CLAUSES.values() if not clause.slow or clause.id in mutant.caught_by]
    found = {clause for clause in wanted if _finds_out(clause, mutant)}
    marked = [f"{each}*" if each in mutant.caught_by else each for each in CLAUSES if each in found]
    missed = [each for each in mutant.caught_by if each not in found]
    print(f"{mutant.name} ({mutant.wrong}):\n    {' '.join(marked) or 'NOTHING'}", flush=True)
    if missed:
        print(f"    NOT by {' '.join(missed)}", flush=True)
    return found


def _finds_out(clause: str, mutant: Mutant) -> bool:
    signal.setitimer(signal.ITIMER_REAL, LIMIT, LIMIT)
    try:
        with tempfile.TemporaryDirectory() as directory:
            return hold_against(mutant, clause, Path(directory)) is State.FAIL
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"it took longer than {LIMIT} s")


if __name__ == "__main__":
    main(sys.argv[1:])
