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
    BrokerGone,
    CarriedAcrossFork,
    Closed,
    ConfigError,
    DistqueueError,
    GroupPriorityMismatch,
    Held,
    InvalidTask,
    LeaseLost,
    OutcomeUnknown,
    PayloadMismatch,
    PluginError,
    Refused,
    RejectTask,
    RetryTask,
    SettleRefused,
    ShardUnavailable,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreMissing,
    StoreServed,
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
    from distqueue.app import App, CurrentDelivery, TaskFunction, current_delivery
    from distqueue.async_queue import AsyncQueue
    from distqueue.broker.event import Event, EventOwner, EventType
    from distqueue.consumer import Consumer, Task
    from distqueue.manager import BrokerManager
    from distqueue.publisher import Publisher, TaskIn
    from distqueue.request import PutOptions

__all__ = [
    "AckTimeout",
    "AlreadySettled",
    "App",
    "AsyncDelivery",
    "AsyncQueue",
    "Backoff",
    "BatchRefused",
    "BrokerGone",
    "BrokerManager",
    "Capabilities",
    "CarriedAcrossFork",
    "Closed",
    "ConfigError",
    "Consumer",
    "CurrentDelivery",
    "Delivery",
    "DistqueueError",
    "Event",
    "EventOwner",
    "EventType",
    "GroupPriorityMismatch",
    "Held",
    "InvalidTask",
    "LeaseLost",
    "OutcomeUnknown",
    "PayloadMismatch",
    "PluginError",
    "Publisher",
    "PutOptions",
    "Queue",
    "Refused",
    "RejectTask",
    "RetryTask",
    "SettleRefused",
    "ShardUnavailable",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreMissing",
    "StoreServed",
    "Stored",
    "Task",
    "TaskFunction",
    "TaskGone",
    "TaskIn",
    "TaskNotFound",
    "TaskRecord",
    "TaskState",
    "TooLarge",
    "UniqueTaken",
    "UnknownBackend",
    "Unsupported",
    "UnsupportedFormat",
    "current_delivery",
]


_LATER = {
    "App": "distqueue.app",
    "AsyncQueue": "distqueue.async_queue",
    "BrokerManager": "distqueue.manager",
    "Consumer": "distqueue.consumer",
    "CurrentDelivery": "distqueue.app",
    "Event": "distqueue.broker.event",
    "EventOwner": "distqueue.broker.event",
    "EventType": "distqueue.broker.event",
    "Publisher": "distqueue.publisher",
    "PutOptions": "distqueue.request",
    "Task": "distqueue.consumer",
    "TaskFunction": "distqueue.app",
    "TaskIn": "distqueue.publisher",
    "current_delivery": "distqueue.app",
}
"""What is imported when it is asked for: asyncio is a third of what everything else costs."""


def __getattr__(name: str) -> object:
    """Import a name of ``_LATER``, or look up ``__version__``."""
    if name == "__version__":
        from importlib.metadata import version

        return version("distqueue")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from distqueue.forking import whole_imports

    with whole_imports():
        return getattr(import_module(_LATER[name]), name)
