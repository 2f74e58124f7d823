"""What tests of coroutines share."""

from __future__ import annotations

import asyncio
import threading

from distqueue import AsyncQueue, TaskState


async def settle_down() -> None:
    """Let everything happen that can happen without the store."""
    for _ in range(20):
        await asyncio.sleep(0)


async def state(queue: AsyncQueue, task_id: str) -> TaskState:
    """Return the state of a task that is there."""
    task = await queue.find(task_id)
    assert task is not None
    return task.state


def waiters() -> int:
    """Return how many threads wait for tasks."""
    return [thread.name for thread in threading.enumerate()].count("distqueue-waiter")
