"""What a backend promises, as data: declared by it, enforced by the clients, proved by the suite."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Durability(StrEnum):
    """What an acknowledged commit survives."""

    MEMORY = "memory"
    """Nothing: it is gone with the process."""
    FLUSH = "flush"
    """The death of any process, not that of the machine."""
    FSYNC = "fsync"
    """The death of any process, a crash of the operating system and a power cut."""
    REPLICATED = "replicated"
    """The loss of a machine."""


class Ordering(StrEnum):
    """How far the order of tasks with one priority reaches."""

    QUEUE = "queue"
    SHARD = "shard"
    GROUP = "group"
    NONE = "none"


class WakeUp(StrEnum):
    """How a waiting consumer learns of new tasks."""

    PUSH = "push"
    POLL = "poll"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every promise of a backend. None has a default: what is not declared is not promised.

    ``dedup_window`` is in seconds and ``dedup_max`` in tasks a queue (0: ids are forgotten with
    their task; ``None``: no such limit). ``max_payload`` is in bytes, ``max_batch`` in commands.
    """

    durability: Durability
    ordering: Ordering
    atomic_batch: bool
    fenced_receipts: bool
    priorities: bool
    delay: bool
    groups: bool
    unique: bool
    dedup_window: float | None
    dedup_max: int | None
    expiry: bool
    pause: bool
    fence: bool
    browse: bool
    keep_done: bool
    transactional_enqueue: bool
    shared_between_processes: bool
    wake_up: WakeUp
    attempts_apart_from_deliveries: bool
    max_payload: int
    max_batch: int
