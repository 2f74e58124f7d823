"""What distqueue asks about this backend before it imports it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec

from distqueue.capabilities import Capabilities, Durability, Ordering, WakeUp
from distqueue.plugins import BackendSpec, hookimpl

NotNegative = msgspec.Meta(ge=0)


class LmdbOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Query parameters of the URL. ``map_size`` is the most that the store can take, in bytes."""

    map_size: Annotated[int, msgspec.Meta(ge=8 << 20)] = 16 << 30
    lock_timeout: Annotated[float, NotNegative] = 10.0
    dedup_window: Annotated[float, NotNegative] = 300.0
    dedup_max: Annotated[int, NotNegative] = 100_000


LMDB = Capabilities(
    durability=Durability.FSYNC,
    ordering=Ordering.QUEUE,
    atomic_batch=True,
    fenced_receipts=True,
    priorities=True,
    delay=True,
    groups=False,
    unique=False,
    dedup_window=300.0,
    dedup_max=100_000,
    expiry=False,
    pause=True,
    fence=False,
    browse=True,
    keep_done=False,
    transactional_enqueue=False,
    shared_between_processes=True,
    wake_up=WakeUp.POLL,
    attempts_apart_from_deliveries=True,
    max_payload=1 << 20,
    max_batch=10_000,
)


@hookimpl
def distqueue_backends() -> Iterator[BackendSpec]:
    yield BackendSpec(
        schemes=("lmdb",),
        load="distqueue_lmdb.backend:LmdbBackend",
        contract="1",
        capabilities=LMDB,
        options=LmdbOptions,
        summary="a directory with an LMDB environment, shared by the processes of one machine",
        harness="distqueue_lmdb.harness:LmdbHarness",
    )
