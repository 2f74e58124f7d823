"""Waking: whoever waits hears of new work at once, and no ring is lost between looking and waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from distqueue.commands import Claim, Extend, Resume
from distqueue.errors import Closed
from distqueue.results import Claimed, Seen
from distqueue_backends import bell as bells
from distqueue_backends.bell import Bell, Ear, InotifyEar, PollingEar
from distqueue_backends.json.backend import JsonBackend

from .processes import running
from .support import ack, claim, claimed, expect, opened, put, stored

LONG = 30.0
"""Longer than anything here takes; who waits so long was not woken."""
EARS: list[Callable[[str], Ear]] = [InotifyEar, PollingEar]


@pytest.fixture(params=EARS, ids=["inotify", "polling"])
def ears(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use each way of hearing."""
    monkeypatch.setattr(bells, "open_ear", request.param)


@pytest.fixture
def path(shm: Path) -> Path:
    return shm / "Queue.json"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def seen_by(backend: JsonBackend, queue: str = "q") -> Seen:
    """Return what an empty claim saw."""
    result = expect(backend.apply([claim(queue=queue)])[0], Claimed)
    assert result.leases == []
    return result.seen


def is_quick(wait: Callable[[], object]) -> bool:
    """Tell whether a wait ended because of something, not because its time was over."""
    begun = time.monotonic()
    wait()
    return time.monotonic() - begun < LONG / 10


@pytest.fixture(autouse=True)
def _no_safety_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting consumer looks again after some seconds; here that would hide a lost ring."""
    monkeypatch.setattr("distqueue_backends.file_backend.SAFETY_POLL", LONG)


@pytest.mark.usefixtures("ears")
def test_a_put_between_the_empty_claim_and_the_wait_is_not_missed(path: Path) -> None:
    with opened(path) as consumer, opened(path) as publisher:
        for turn in range(30):
            seen = seen_by(consumer)
            stored(publisher, put(f"t{turn}"))
            assert is_quick(partial(consumer.wait, "q", seen, LONG))
            consumer.apply([ack(claimed(consumer)[0])])


@pytest.mark.usefixtures("ears")
def test_a_waiting_thread_is_woken_by_another_backend(path: Path, pool: ThreadPoolExecutor) -> None:
    with opened(path) as consumer, opened(path) as publisher:
        for turn in range(10):
            seen = seen_by(consumer)
            waiting = pool.submit(consumer.wait, "q", seen, LONG)
            stored(publisher, put(f"t{turn}"))
            assert waiting.result(timeout=LONG / 2).version != seen.version
            consumer.apply([ack(claimed(consumer)[0])])


def test_an_idle_process_is_woken_by_another_process(path: Path) -> None:
    with running(path) as (consumer,), opened(path) as publisher:
        for turn in range(5):
            consumer.tell(wait=LONG)
            assert consumer.hear() == "waiting"
            stored(publisher, put(f"t{turn}"))
            assert consumer.hear() == "woken"


def test_no_ring_is_lost_by_two_processes_that_race(path: Path) -> None:
    with running(path) as (consumer,), opened(path) as publisher:
        for turn in range(200):
            consumer.tell(wait=LONG)
            stored(publisher, put(f"t{turn}"))
            heard = consumer.hear()
            if heard == "waiting":
                heard = consumer.hear()
            if heard == "woken for nothing":  # by the ring of the task before
                heard = consumer.ask(wait=LONG)
            assert heard in ("woken", "claimed at once")


@pytest.mark.usefixtures("ears")
def test_threads_that_wait_and_look_at_one_bell_lose_no_ring(path: Path, pool: ThreadPoolExecutor) -> None:
    bell, ringer = Bell(str(path)), Bell(str(path))
    rounds = 150
    barrier = threading.Barrier(6)

    def waiter() -> bool:
        for _ in range(rounds):
            seen = bell.rings()
            barrier.wait()
            if not is_quick(partial(bell.wait, seen, LONG)):
                barrier.abort()
                return False
            barrier.wait()
        return True

    def looker() -> bool:
        for _ in range(rounds):
            barrier.wait()
            for _ in range(20):
                bell.rings()
            barrier.wait()
        return True

    def ring() -> bool:
        for _ in range(rounds):
            barrier.wait()
            ringer.ring()
            barrier.wait()
        return True

    try:
        jobs = [pool.submit(work) for work in (waiter, waiter, waiter, looker, looker, ring)]
        assert all(job.result(timeout=100) for job in jobs)
    finally:
        barrier.abort()
        bell.close()
        ringer.close()


@pytest.mark.usefixtures("ears")
def test_closing_wakes_all_that_wait(path: Path, pool: ThreadPoolExecutor) -> None:
    with opened(path) as backend:
        seen = seen_by(backend)
        waiting = [pool.submit(backend.wait, "q", seen, None) for _ in range(4)]
        backend.close()
        for each in waiting:
            with pytest.raises(Closed):
                each.result(timeout=LONG)
        with pytest.raises(Closed):
            backend.wait("q", seen, LONG)


@pytest.mark.usefixtures("ears")
def test_a_wait_that_hears_nothing_ends_at_its_time(path: Path) -> None:
    with opened(path) as backend:
        seen = seen_by(backend)
        for timeout in (0, 0.05):
            begun = time.monotonic()
            assert backend.wait("q", seen, timeout).version == seen.version
            assert time.monotonic() - begun >= timeout


def test_a_wait_ends_when_a_task_is_due_or_a_lease_is_over(path: Path) -> None:
    with opened(path) as backend:
        stored(backend, put("later", delay=1.0))
        assert is_quick(lambda: backend.wait("q", seen_by(backend), LONG))
        assert [lease.task_id for lease in claimed(backend, lease=1.0)] == ["later"]
        assert is_quick(lambda: backend.wait("q", seen_by(backend), LONG))
        assert [lease.deliveries for lease in claimed(backend)] == [2]


def test_a_lease_made_shorter_wakes_who_waits_for_its_end(path: Path, pool: ThreadPoolExecutor) -> None:
    with opened(path) as backend, opened(path) as other:
        stored(backend, put("a"))
        (lease,) = claimed(backend, lease=LONG * 10)
        waiting = pool.submit(other.wait, "q", seen_by(other), LONG)
        backend.apply([Extend(queue="q", receipt=lease.receipt, lease=0.05)])
        waiting.result(timeout=LONG / 2)


def test_what_frees_a_group_or_a_queue_rings(path: Path) -> None:
    with opened(path) as backend, opened(path) as other:
        stored(backend, put("g1", group="g"), put("g2", group="g"))
        (head,) = claimed(backend)
        seen = seen_by(other)
        backend.apply([ack(head)])
        assert is_quick(lambda: other.wait("q", seen, LONG))
        claimed(other)
        seen = seen_by(other, "paused")
        backend.apply([put("a", queue="paused"), Resume(queue="paused")])
        assert is_quick(lambda: other.wait("paused", seen, LONG))


def test_what_makes_nothing_claimable_does_not_ring(path: Path) -> None:
    with opened(path) as backend, opened(path) as other:
        stored(backend, put("a"), put("b"))
        rings = other._bell.rings()
        backend.apply([ack(claimed(backend)[0])])
        claimed(backend)
        backend.apply([Claim(queue="nowhere", token="t")])  # noqa: S106 - no password
        assert other._bell.rings() == rings


def test_where_no_inotify_is_left_the_bell_is_polled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(path: str) -> Ear:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(bells, "InotifyEar", none_left)
    with opened(path) as consumer, opened(path) as publisher:
        seen = seen_by(consumer)
        stored(publisher, put("a"))
        assert isinstance(consumer._bell._ear, PollingEar)
        assert is_quick(lambda: consumer.wait("q", seen, LONG))


def test_a_bell_file_that_is_removed_costs_no_more_than_the_safety_net(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distqueue_backends.file_backend.SAFETY_POLL", 0.05)
    with opened(path) as consumer, opened(path) as publisher:
        (path.parent / "Queue.json.bell").unlink()
        seen = seen_by(consumer)
        stored(publisher, put("a"))
        assert is_quick(lambda: consumer.wait("q", seen, LONG))
        assert [lease.task_id for lease in claimed(consumer)] == ["a"]
