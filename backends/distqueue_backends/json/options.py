"""The options of ``json:`` URLs, and what the backend promises."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from distqueue.capabilities import Capabilities, Durability, Ordering, WakeUp
from distqueue.limits import MAX_BATCH, MAX_PAYLOAD


class JsonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set in the URL of a single JSON store; durations in seconds.

    ``dedup_window`` and ``dedup_max`` say for how long, and for how many tasks a queue, ids are
    remembered after their task is gone; ``lock_timeout`` how long to wait for other processes.
    """

    dedup_window: Annotated[float, Meta(ge=0)] = 300.0
    dedup_max: Annotated[int, Meta(ge=0)] = 100_000
    lock_timeout: Annotated[float, Meta(ge=0)] = 10.0


JSON_CAPABILITIES: Final = Capabilities(
    durability=Durability.FSYNC,
    ordering=Ordering.QUEUE,
    atomic_batch=True,
    fenced_receipts=True,
    priorities=True,
    delay=True,
    groups=True,
    unique=True,
    dedup_window=300.0,
    dedup_max=100_000,
    expiry=True,
    pause=True,
    fence=True,
    browse=True,
    keep_done=True,
    transactional_enqueue=False,
    shared_between_processes=True,
    wake_up=WakeUp.PUSH if sys.platform == "linux" else WakeUp.POLL,
    attempts_apart_from_deliveries=True,
    max_payload=MAX_PAYLOAD,
    max_batch=MAX_BATCH,
)
