"""An example in a directory of its own, where its files and processes may be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example:
    """A copy of a directory of ``examples/``."""

    def __init__(self, name: str, folder: Path, store: str | None) -> None:
        self.folder = shutil.copytree(EXAMPLES / name, folder / name)
        settings = tomllib.loads((self.folder / "distqueue.toml").read_text())
        self.store = store or settings["url"].replace(":///", f":///{self.folder}/")
        """The URL of its store, wherever one is."""

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


ON_A_SERVER: Final = pytest.mark.parametrize(
    "example", [False, True], indirect=True, ids=["as-it-is", "postgresql"]
)
"""Runs a test once more, with the store of the example in PostgreSQL instead of the file that it names."""


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """The example that the module names as ``EXAMPLE``; only its own configuration holds."""
    store = request.getfixturevalue("postgres_store") if getattr(request, "param", False) else None
    for name in [name for name in os.environ if name.startswith("DISTQUEUE_")]:
        monkeypatch.delenv(name)
    if store is not None:
        monkeypatch.setenv("DISTQUEUE_URL", store)
    return Example(request.module.EXAMPLE, tmp_path, store)
