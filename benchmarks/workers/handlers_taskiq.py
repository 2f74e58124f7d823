"""What ``taskiq worker`` runs: its two brokers that keep tasks until a worker is there."""

from __future__ import annotations

import os
from typing import Any

from taskiq import AsyncBroker
from taskiq.decor import AsyncTaskiqDecoratedTask
from taskiq_redis import ListQueueBroker, RedisStreamBroker

from benchmarks.workers.records import URL, write_down

type TaskiqBroker = ListQueueBroker | RedisStreamBroker


async def note(number: int) -> None:
    """Do nothing but write it down."""
    write_down(number)


def make(kind: type[TaskiqBroker], url: str) -> tuple[AsyncBroker, AsyncTaskiqDecoratedTask[[int], Any]]:
    """Return a broker, and the handler in it."""
    broker = kind(url)
    return broker, broker.register_task(note, task_name="note")


def lists() -> AsyncBroker:
    """Return what a worker is to use: a task is removed when it is taken."""
    return make(ListQueueBroker, os.environ[URL])[0]


def streams() -> AsyncBroker:
    """Return what a worker is to use: a task is acknowledged when its handler has ended."""
    return make(RedisStreamBroker, os.environ[URL])[0]
