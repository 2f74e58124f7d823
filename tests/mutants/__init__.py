"""Mutants: stores that break their promises, each in one way. The conformance suite has to find out each.

To add one, write a function that damages the code of this process, in the file of its theme, and mark it
with ``@mutant``: what it does wrong, in a sentence, and the clauses that find that out. The ways to damage
something are in ``damage.py``; what they do is undone, so that one process can hold many mutants.
``python -m tests.mutants.survey NAME`` tells which clauses do find it out; name those that are about this
mistake, not all that stumble over it. A mistake that no clause finds needs a new clause.
"""

from __future__ import annotations

from tests.mutants import (
    claiming,
    clients,
    clocks,
    durability,
    failing,
    lifecycle,
    limits,
    moving,
    publishing,
    reading,
    removing,
    settling,
    sharing,
    times,
    together,
    waiting,
)
from tests.mutants.mutant import MUTANTS

__all__ = [
    "MUTANTS",
    "claiming",
    "clients",
    "clocks",
    "durability",
    "failing",
    "lifecycle",
    "limits",
    "moving",
    "publishing",
    "reading",
    "removing",
    "settling",
    "sharing",
    "times",
    "together",
    "waiting",
]
