from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from distqueue import Queue

type Until = Callable[[Callable[[], bool]], None]

_numbers = itertools.count()


@pytest.fixture(params=["memory", "json"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of each kind that several queues may open."""
    if request.param == "memory":
        return f"memory://clients-{next(_numbers)}"
    return f"json:///{tmp_path}/Queue.json"


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    with Queue(url) as queue:
        yield queue


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads to do something meanwhile."""
    with ThreadPoolExecutor(20) as threads:
        yield threads


@pytest.fixture
def until() -> Until:
    """Wait for something that another thread is about to do."""

    def wait(condition: Callable[[], bool]) -> None:
        tick = threading.Event()
        for _ in range(4000):
            if condition():
                return
            tick.wait(0.005)
        raise AssertionError("it did not happen within 20 s")

    return wait


@pytest.fixture(autouse=True)
def _no_thread_is_left_over() -> Iterator[None]:
    """Every queue is closed by its test, and closing ends its threads."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("distqueue")]
    assert not left
