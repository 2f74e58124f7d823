from __future__ import annotations

from collections.abc import Iterator

import pytest

from distqueue_backends.memory import MemoryBackend, MemoryOptions
from tests.json.support import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def table(clock: HandClock) -> Iterator[MemoryBackend]:
    """A store in memory whose clock is set by hand."""
    backend = MemoryBackend(MemoryOptions(dedup_window=60.0, dedup_max=5))
    backend.clock = clock
    yield backend
    backend.close()
