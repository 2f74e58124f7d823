"""A durable task queue with swappable storage.

>>> from distqueue import Queue
>>> with Queue("json:///Queue.json") as queue:                                 # doctest: +SKIP
...     queue.put({"to": "a@example.org"})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from distqueue.capabilities import Capabilities
from distqueue.delivery import AsyncDelivery, Delivery
from distqueue.errors import (
    AckTimeout,
    AlreadySettled,
    BatchRefused,
    CarriedAcrossFork,
    Closed,
    ConfigError,
    DistqueueError,
    GroupPriorityMismatch,
    InvalidTask,
    LeaseLost,
    OutcomeUnknown,
    PayloadMismatch,
    PluginError,
    Refused,
    SettleRefused,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreMissing,
    TaskGone,
    TaskNotFound,
    TooLarge,
    UniqueTaken,
    UnknownBackend,
    Unsupported,
    UnsupportedFormat,
)
from distqueue.queue import Queue
from distqueue.results import Stored
from distqueue.retry import Backoff
from distqueue.task import TaskRecord, TaskState

if TYPE_CHECKING:
    from distqueue.async_queue import AsyncQueue

__all__ = [
    "AckTimeout",
    "AlreadySettled",
    "AsyncDelivery",
    "AsyncQueue",
    "Backoff",
    "BatchRefused",
    "Capabilities",
    "CarriedAcrossFork",
    "Closed",
    "ConfigError",
    "Delivery",
    "DistqueueError",
    "GroupPriorityMismatch",
    "InvalidTask",
    "LeaseLost",
    "OutcomeUnknown",
    "PayloadMismatch",
    "PluginError",
    "Queue",
    "Refused",
    "SettleRefused",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreMissing",
    "Stored",
    "TaskGone",
    "TaskNotFound",
    "TaskRecord",
    "TaskState",
    "TooLarge",
    "UniqueTaken",
    "UnknownBackend",
    "Unsupported",
    "UnsupportedFormat",
]


def __getattr__(name: str) -> object:
    """Import ``AsyncQueue`` when it is asked for: asyncio is a third of what everything else costs."""
    if name != "AsyncQueue":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from distqueue.async_queue import AsyncQueue

    return AsyncQueue
