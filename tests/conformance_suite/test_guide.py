"""The guide for authors of backends names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from distqueue.conformance import BackendConformance
from distqueue.conformance.campaign import parser
from distqueue.conformance.checker import INVARIANTS
from distqueue.conformance.clauses import CLAUSES

GUIDE = (Path(__file__).parents[2] / "docs/howto/prove-a-backend.md").read_text()


def test_the_guide_names_every_family_of_clauses() -> None:
    assert len(CLAUSES) > 150, BackendConformance
    families = {clause_id.rpartition("-")[0] for clause_id in CLAUSES}
    assert families - set(re.findall(r"`([A-Z]+)`", GUIDE)) == set()


def test_the_guide_describes_every_invariant() -> None:
    assert [each.__name__ for each in INVARIANTS if f"| `{each.__name__}` |" not in GUIDE] == []


def test_the_clause_in_the_guide_is_the_real_one() -> None:
    (example,) = re.findall(r"@clause\(\n(.*?)\n\)", GUIDE, re.DOTALL)
    clause_id, text, *named = re.findall(r'"(.*?)"', example)
    clause = CLAUSES[clause_id]
    assert [clause.text, " ".join(clause.needs), clause.look] == [text, *named]


def test_the_guide_names_every_option_of_the_campaign() -> None:
    options = {
        option for action in parser()._actions for option in action.option_strings if option[:2] == "--"
    }
    assert {option for option in options if option not in GUIDE} == {"--help"}
