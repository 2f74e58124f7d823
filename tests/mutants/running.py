"""Running the suite against a mutant, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from distqueue.conformance.report import ClauseResult, read_reports
from tests.mutants.chosen import CLAUSES
from tests.mutants.damaged import MUTANT
from tests.mutants.mutant import Mutant

ROOT: Final = Path(__file__).parents[2]
TARGET: Final = Path(__file__).with_name("target.py")
TIMEOUT: Final = 30
"""How long one test may take, in seconds: a mutant may hang."""


def run(mutant: Mutant, directory: Path, clauses: Iterable[str] = ()) -> dict[str, ClauseResult]:
    """Hold clauses, all of them if none is named, against a mutant; return what became of each."""
    report = directory / "report.json"
    command = [sys.executable, "-m", "pytest", str(TARGET), "-q", "--assert=plain", f"--basetemp={directory}/stores"]
    command += ["-p", "no:cacheprovider", "-p", "tests.mutants.chosen", "-o", f"timeout={TIMEOUT}"]
    command += ["-p", "distqueue.conformance.plugin", f"--distqueue-report={report}"]
    environment = {
        **os.environ,
        MUTANT: mutant.name,
        CLAUSES: " ".join(clauses),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1) or not report.exists():
        raise RuntimeError(f"the suite could not be run against {mutant.name}: {ended.stdout}{ended.stderr}")
    (subject,) = read_reports([report])[0].subjects
    return subject.clauses
