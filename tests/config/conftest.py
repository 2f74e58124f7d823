"""A working directory of the test's own, with nothing of distqueue in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: ``app/deep`` below the returned one, which is where a file may be."""
    deep = tmp_path / "app" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    for name in ("DISTQUEUE_URL", "DISTQUEUE_OBSERVERS", "DISTQUEUE_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "app"
