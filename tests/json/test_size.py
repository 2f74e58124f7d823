"""The file stays small: under 2.5 times what is live and remembered, plus 1 MiB, whatever goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distqueue.commands import Purge, Put, Reject
from distqueue.ids import new_task_ids, new_token
from distqueue_backends.json.backend import JsonBackend

from .support import HandClock, ack, claimed, compact, opened, put

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


def live_size(path: Path, backend: JsonBackend) -> int:
    """Return how many bytes what is live and remembered takes: those of a new snapshot of it."""
    compact(backend)
    return len(path.read_bytes().rstrip(b" "))


def check_size(path: Path, backend: JsonBackend) -> None:
    before = path.stat().st_size
    live = live_size(path, backend)
    assert before <= 2.5 * live + MIB, (before, live)


def churn(backend: JsonBackend, make: Callable[[str], Put], turns: int, kept: int) -> None:
    """Put tasks and settle the oldest ones, so that about ``kept`` are there."""
    for turn in range(turns):
        backend.apply([make(task_id) for task_id in new_task_ids(100)])
        if turn * 100 >= kept:
            leases = claimed(backend, 100, lease=1e6, token=new_token())
            backend.apply([ack(lease) for lease in leases])


@pytest.mark.parametrize(("kept", "dedup_max"), [(0, 100_000), (5000, 100_000), (5000, 0)])
@pytest.mark.parametrize(
    "options",
    [
        {"data": 1},
        {"data": "x" * 200},
        {"data": "x" * 5000},
        {"data": 1, "headers": {"trace": "y" * 1000}},
        {"data": 1, "group": "g" * 200, "publisher_id": "p" * 200},
    ],
    ids=["tiny", "usual", "large", "headers", "names"],
)
def test_the_file_stays_under_its_limit_in_a_long_churn(
    shm: Path, options: dict[str, Any], kept: int, dedup_max: int
) -> None:
    path = shm / "Queue.json"
    with opened(path, HandClock(), dedup_max=dedup_max) as backend:
        for _ in range(4):
            churn(backend, lambda task_id: put(task_id, **options), 40, kept)
            check_size(path, backend)


def test_dead_tasks_with_long_errors_do_not_make_every_commit_a_compaction(shm: Path) -> None:
    path = shm / "Queue.json"
    with opened(path, HandClock()) as backend:
        for _ in range(10):
            backend.apply([put(task_id) for task_id in new_task_ids(100)])
            leases = claimed(backend, 100)
            backend.apply([Reject(queue="q", receipt=lease.receipt, error="e" * 5000) for lease in leases])
        compact(backend)
        before = int(backend.facts()["epoch"])
        churn(backend, put, 100, 0)
        written = 100 * 100 * 350
        assert int(backend.facts()["epoch"]) - before <= 1 + written // (5 * MIB)
        check_size(path, backend)


def test_the_memory_of_what_was_cancelled_or_purged_is_counted_as_it_is(shm: Path) -> None:
    path = shm / "Queue.json"
    with opened(path, HandClock()) as backend:
        for _ in range(200):
            backend.apply([put(task_id) for task_id in new_task_ids(100)])
            backend.apply([Purge(queue="q")])
        check_size(path, backend)


def test_when_all_is_gone_the_file_is_small_again(shm: Path) -> None:
    path = shm / "Queue.json"
    with opened(path, HandClock(), dedup_max=10) as backend:
        backend.apply([put(task_id, "x" * 5000) for task_id in new_task_ids(2000)])
        assert path.stat().st_size > 9 * MIB
        backend.apply([Purge(queue="q")])
        churn(backend, put, 10, 0)
        assert path.stat().st_size < MIB


def test_two_that_share_a_store_keep_it_small_by_turns(shm: Path) -> None:
    path = shm / "Queue.json"
    clock = HandClock()
    with opened(path, clock, dedup_max=10) as other:
        with opened(path, clock, dedup_max=10) as one:
            one.apply([put(task_id, "x" * 5000) for task_id in new_task_ids(2000)])
            claimed(other)
            one.apply([Purge(queue="q")])
            churn(one, put, 10, 0)
        churn(other, lambda task_id: put(task_id, "x" * 1000), 30, 0)
        check_size(path, other)


def test_characters_that_are_escaped_do_not_make_every_commit_a_compaction(shm: Path) -> None:
    path = shm / "Queue.json"
    with opened(path, HandClock()) as backend:
        for start in range(0, 200, 20):
            names = [f"t{number}" for number in range(start, start + 20)]
            backend.apply([put(name, headers={"h": "\0" * 10_000}) for name in names])
        compact(backend)
        before = int(backend.facts()["epoch"])
        for _ in range(20):
            backend.apply([put(task_id) for task_id in new_task_ids(1)])
        assert backend.facts()["epoch"] == before
        check_size(path, backend)
