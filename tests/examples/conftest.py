"""An example in a directory of its own, where its files and processes may be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example:
    """A copy of a directory of ``examples/``."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = shutil.copytree(EXAMPLES / name, folder / name)

    def python(self, *arguments: str) -> str:
        """Run Python there, with warnings as errors, and return what it printed."""
        command = [sys.executable, "-W", "error", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def work(self, app: str, *options: str) -> None:
        """Run a worker until nothing is left to do."""
        self.python("-m", "distqueue", "work", app, "--burst", *options)


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """The example that the module names as ``EXAMPLE``; only its own configuration holds."""
    for name in [name for name in os.environ if name.startswith("DISTQUEUE_")]:
        monkeypatch.delenv(name)
    return Example(request.module.EXAMPLE, tmp_path)
