from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .tracing import Nursery, need_strace


@pytest.fixture
def shm(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if there is such a thing: for what is read back, not for what is synced."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="distqueue-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Runs scenarios with faults in their system calls."""
    need_strace()
    nursery = Nursery(tmp_path_factory.mktemp("nursery") / "notes")
    yield nursery
    nursery.close()
