"""Processes: a fork leaves the parent's locks alone, and a killed one what it was told is stored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distqueue import Closed, Queue
from tests.forking import in_child

from .support import IDS, browsed, ids, opened, put, stored

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def test_a_queue_is_opened_anew_by_a_forked_process(directory: Path) -> None:
    with Queue(f"sharded-json:///{directory}") as queue:
        queue.put(1)
        in_child(lambda: queue.put(2))
        queue.put(3)
        assert queue.stats().ready == 3


def test_a_store_is_closed_in_a_forked_process(directory: Path) -> None:
    with opened(directory) as backend:

        def work() -> None:
            with pytest.raises(Closed):
                backend.apply([put("child")])
            backend.close()
            with opened(directory) as own:
                stored(own, *[put(task_id) for task_id in IDS])

        in_child(work)
        assert ids(browsed(backend)) == sorted(IDS)
        stored(backend, put("parent"))
