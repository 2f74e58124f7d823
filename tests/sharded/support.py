"""What the tests of the sharded store share: short commands, and where things are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from distqueue.backend import Fsck
from distqueue.broker import Broker
from distqueue.commands import Ack, Browse, Claim, Find, Put, Stats
from distqueue.payload import encode
from distqueue.results import Browsed, Claimed, Counted, Found, Lease, Outcome, Result, Stored
from distqueue.task import TaskRecord
from distqueue.urls import parse_url
from distqueue_backends.sharded.backend import ShardedBackend
from distqueue_backends.sharded.options import ShardedOptions
from distqueue_backends.sharded.routing import shard_of

QUEUE: Final = "q"
COUNT: Final = 8
IDS: Final = [
    next(f"s{n}-{i}" for i in range(1000) if shard_of(f"s{n}-{i}", COUNT) == n) for n in range(COUNT)
]
"""A task id for each shard of a store with eight."""


def put(task_id: str, data: object = None, *, queue: str = QUEUE, **options: Any) -> Put:
    """Return the command that puts a task."""
    return Put.make(queue, task_id, encode(data), **options)


def claim(count: int = 1, *, queue: str = QUEUE, token: str = "t", again: bool = False) -> Claim:
    """Return the command that claims tasks."""
    return Claim(queue=queue, token=token, count=count, lease=3600.0, again=again)


def ack(lease: Lease, *then: Put) -> Ack:
    """Return the command that settles a delivery as done."""
    return Ack(queue=QUEUE, receipt=lease.receipt, then=then)


def expect[R: Result](outcome: Outcome, kind: type[R]) -> R:
    """Return a result that has to be of one kind."""
    assert isinstance(outcome, kind), outcome
    return outcome


def stored(broker: Broker, *puts: Put) -> None:
    """Put tasks that have to be new."""
    for outcome in broker.apply(puts):
        assert not expect(outcome, Stored).duplicate


def claimed(broker: Broker, count: int = 1, **options: Any) -> list[Lease]:
    """Claim tasks and return their leases."""
    return expect(broker.apply([claim(count, **options)])[0], Claimed).leases


def found(broker: Broker, task_id: str) -> TaskRecord | None:
    """Return a task, if it is there."""
    return expect(broker.apply([Find(queue=QUEUE, task_id=task_id)])[0], Found).task


def browsed(broker: Broker) -> list[TaskRecord]:
    """Return all tasks."""
    return expect(broker.apply([Browse(queue=QUEUE)])[0], Browsed).tasks


def counted(broker: Broker, queue: str = "*") -> Counted:
    """Return the statistics."""
    return expect(broker.apply([Stats(queue=queue)])[0], Counted)


def ids(tasks: Sequence[TaskRecord | Lease]) -> list[str]:
    """Return the ids of tasks, sorted."""
    return sorted(task.task_id for task in tasks)


def shard(directory: Path, number: int) -> Path:
    """Return the file of a shard."""
    return directory / f"shard-{number:02}.json"


@contextmanager
def opened(directory: Path, *, create: bool = True, **options: Any) -> Iterator[ShardedBackend]:
    """Open a store and close it again."""
    backend = ShardedBackend(str(directory), ShardedOptions(**options), create=create)
    try:
        yield backend
    finally:
        backend.close()


def fsck(directory: Path, *, repair: bool = False, **options: Any) -> Fsck:
    """Examine a store."""
    url = parse_url(f"sharded-json:///{directory}")
    return ShardedBackend.fsck(url, ShardedOptions(**options), repair=repair)


def damage(path: Path) -> None:
    """Change a byte of an early commit of a file in which there are several."""
    data = path.read_bytes()
    assert data.count(b'{"crc":"') > 2
    at = data.index(b'"op":"')
    path.write_bytes(data[:at] + b"X" + data[at + 1 :])
