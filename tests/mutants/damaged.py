"""Damages this process as the environment says: what a process of a mutant does before anything else."""

from __future__ import annotations

import os
from typing import Final

from tests.mutants import MUTANTS
from tests.mutants.mutant import Mutant

MUTANT: Final = "DISTQUEUE_MUTANT"
"""The environment variable with the name of the mutant."""


def this_mutant() -> Mutant:
    """Return the mutant that this process is of."""
    return MUTANTS[os.environ[MUTANT]]


def damage_this_process() -> None:
    """Damage the code."""
    this_mutant().damage()
