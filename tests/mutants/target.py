"""The suite for one mutant, in a process that is damaged: see ``running.py``."""

from __future__ import annotations

from distqueue.conformance import BackendConformance
from distqueue.conformance.harness import Harness, harness_for
from tests.mutants.damaged import damage_this_process, this_mutant

MUTANT = this_mutant()
damage_this_process()
_Harness: type[Harness] = harness_for(MUTANT.url)


class DamagedHarness(_Harness):  # type: ignore[misc, valid-type]
    """The harness of the store, whose other processes are damaged too."""

    prepare = "tests.mutants.damaged:damage_this_process"


class TestMutant(BackendConformance):
    url = MUTANT.url
    harness = DamagedHarness
    tries_again = False
    patience = 2.0
