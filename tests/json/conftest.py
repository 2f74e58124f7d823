from __future__ import annotations

from collections.abc import Iterator

import pytest

from .tracing import Nursery, need_strace


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Runs scenarios with faults in their system calls."""
    need_strace()
    nursery = Nursery(tmp_path_factory.mktemp("nursery") / "notes")
    yield nursery
    nursery.close()
