"""Whoever shows how a worker does is called in time."""

from __future__ import annotations

import time

import pytest

from distqueue.worker.plan import Plan
from distqueue.worker.worker import Worker
from tests.worker.conftest import Bench

pytestmark = pytest.mark.slow


def test_a_turn_that_is_asked_for_comes_though_nothing_happens(
    lite: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lite.directory)
    for name in ("DISTQUEUE_URL", "NOTES"):
        monkeypatch.setenv(name, lite.env[name])
    worker = Worker(Plan(app="jobs:app"))
    turns = 0

    def count(worker: Worker) -> None:
        nonlocal turns
        turns += 1
        worker.turn_by = time.monotonic() + 0.01
        if turns == 500:
            worker.stop()

    worker.on_turn = count
    worker.run()
    assert turns >= 500
