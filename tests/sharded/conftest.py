from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a store of the test is, once it is made."""
    return tmp_path / "queue.d"
