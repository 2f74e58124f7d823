"""Coroutines that wait at a broker that parks their claims."""

from __future__ import annotations

import asyncio
import threading

import pytest

from distqueue import AsyncQueue
from distqueue.commands import Claim
from distqueue.groupcommit import GroupCommit
from distqueue.outcomes import leases_in
from distqueue.results import Lease, Seen
from distqueue_backends.memory import MemoryBackend

pytestmark = pytest.mark.asyncio


class Parking(MemoryBackend):
    """Parks a claim, and carries it out when the test says so: whoever withdraws it comes too late."""

    def __init__(self) -> None:
        super().__init__()
        self.parked = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def park(self, claim: Claim, seen: Seen, timeout: float | None) -> list[Lease] | None:
        self.parked.release()
        assert self.go.acquire(timeout=20)
        return leases_in(self.apply([claim]))

    async def is_parked(self) -> None:
        assert await asyncio.to_thread(self.parked.acquire, timeout=20)


async def test_what_was_claimed_for_a_cancelled_get_goes_to_the_one_beside_it() -> None:
    backend = Parking()
    async with AsyncQueue.over(GroupCommit(backend)) as queue:
        first = asyncio.create_task(queue.get())
        await backend.is_parked()
        second = asyncio.create_task(queue.get(timeout=20))
        await asyncio.sleep(0.05)  # it waits, too
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await queue.put("task")
        backend.go.release()
        delivery = await asyncio.wait_for(second, 10)  # sooner than it would look by itself
        assert delivery is not None
        assert delivery.data == "task"
        await delivery.ack()
        backend.go.release()
