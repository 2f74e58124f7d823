"""Damages a process, and those that it starts: the name of the mutant is in their environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.mutants import MUTANTS
from tests.mutants.damage import undone
from tests.mutants.mutant import Mutant

MUTANT: Final = "DISTQUEUE_MUTANT"
"""The environment variable with the name of the mutant."""
PREPARE: Final = "tests.mutants.damaged:damage_this_process"
"""What the processes of a damaged store call before anything else."""
ROOT: Final = Path(__file__).parents[2]


@contextmanager
def damaged(mutant: Mutant) -> Iterator[None]:
    """Damage this process for a while, and all that are started with ``PREPARE`` meanwhile."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with undone(), _environment({MUTANT: mutant.name, "PYTHONPATH": path}):
        mutant.damage()
        yield


def damage_this_process() -> None:
    """Damage a process that was started by one that is damaged, for good."""
    MUTANTS[os.environ[MUTANT]].damage()


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old
