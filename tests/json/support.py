"""What the tests of the JSON store share: short commands, a clock set by hand, a store's whole state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import msgspec

from distqueue.broker import Broker
from distqueue.commands import Ack, Browse, Claim, Command, Put, Release, Remembered, Stats
from distqueue.payload import encode
from distqueue.results import Browsed, Claimed, Counted, Lease, Outcome, Result, Stored
from distqueue.urls import parse_url
from distqueue_backends.json import compaction
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.json.options import JsonOptions

QUEUE: Final = "q"
START: Final = 1_750_000_000.25
"""When the clock that is set by hand begins."""
TOKEN: Final = "t"


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now

    def lease(self) -> float:
        return self.now


# --- Commands, and what comes of them ---------------------------------------------------------------


def put(task_id: str, data: object = None, *, queue: str = QUEUE, **options: Any) -> Put:
    """Return the command that puts a task, whose payload says which it is unless ``data`` is given."""
    return Put.make(queue, task_id, encode({"task": task_id} if data is None else data), **options)


def claim(count: int = 1, *, token: str = TOKEN, lease: float = 30.0, queue: str = QUEUE) -> Claim:
    """Return the command that claims tasks."""
    return Claim(queue=queue, token=token, count=count, lease=lease)


def ack(lease: Lease | str, *then: Put, queue: str = QUEUE) -> Ack:
    """Return the command that settles a delivery as done."""
    return Ack(queue=queue, receipt=lease if isinstance(lease, str) else lease.receipt, then=then)


def release(lease: Lease, queue: str = QUEUE) -> Release:
    """Return the command that gives a delivery back."""
    return Release(queue=queue, receipt=lease.receipt)


def expect[R: Result](outcome: Outcome, kind: type[R]) -> R:
    """Return a result that has to be of one kind."""
    assert isinstance(outcome, kind), outcome
    return outcome


def stored(broker: Broker, *puts: Put) -> None:
    """Put tasks that have to be new."""
    for outcome in broker.apply(puts):
        assert expect(outcome, Stored).duplicate is False


def claimed(broker: Broker, count: int = 1, **options: Any) -> list[Lease]:
    """Claim tasks and return their leases."""
    return expect(broker.apply([claim(count, **options)])[0], Claimed).leases


def ids(leases: Sequence[Lease]) -> list[str]:
    """Return the ids of tasks that were claimed."""
    return [lease.task_id for lease in leases]


def ready_ids(broker: Broker, queue: str = QUEUE) -> list[str]:
    """Return the ids of the tasks that could be claimed now, in that order."""
    page = expect(broker.apply([Browse(queue=queue, order="line", limit=100_000)])[0], Browsed)
    return [task.task_id for task in page.tasks]


# --- A store's whole state --------------------------------------------------------------------------


def state_of(broker: Broker) -> dict[str, Any]:
    """Return all that reading verbs tell of every queue, as plain values that can be compared."""
    counted = expect(broker.apply([Stats(queue="*")])[0], Counted)
    return {
        counts.queue: {"stats": plain(counts), **_queue_state(broker, counts.queue)}
        for counts in counted.queues
    }


def _queue_state(broker: Broker, queue: str) -> dict[str, Any]:
    tasks, line, gone = broker.apply(
        [
            Browse(queue=queue, limit=100_000),
            Browse(queue=queue, order="line", limit=100_000),
            Remembered(queue=queue, limit=100_000),
        ]
    )
    return {
        "tasks": [fields_of(task) for task in expect(tasks, Browsed).tasks],
        "line": [task.task_id for task in expect(line, Browsed).tasks],
        "remembered": [fields_of(each) for each in expect(gone, Browsed).remembered],
    }


def fields_of(record: msgspec.Struct) -> dict[str, Any]:
    """Return every field of a record, also those that have their default."""
    return {name: plain(getattr(record, name)) for name in record.__struct_fields__}


def plain(value: object) -> Any:
    """Return a value of ours as what is left of it in JSON."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=bytes))


# --- Stores -----------------------------------------------------------------------------------------


@contextmanager
def opened(
    path: Path, clock: HandClock | None = None, *, create: bool = True, **options: Any
) -> Iterator[JsonBackend]:
    """Open a store for the time of a block."""
    backend = JsonBackend(str(path), JsonOptions(**options), create=create)
    if clock is not None:
        backend.clock = clock
    try:
        yield backend
    finally:
        backend.close()


def fsck(path: Path, *, repair: bool = False) -> Any:
    """Examine a store, or mend it."""
    return JsonBackend.fsck(parse_url(f"json:///{path}"), JsonOptions(), repair=repair)


def compact(backend: JsonBackend, commands: Sequence[Command] = ()) -> None:
    """Let the backend find that compaction is worth it, in a commit of some commands."""
    epoch = backend.facts()["epoch"]
    with patch.object(compaction, "is_worth_it", return_value=True):
        backend._next_check = 0
        backend.apply(commands)
    assert backend.facts()["epoch"] == int(epoch) + 1


def beside(path: Path, kind: str) -> list[Path]:
    """Return the files of one kind beside a store: ``torn``, ``damaged`` or ``tmp``."""
    return sorted(path.parent.glob(f"{path.name}.{kind}-*"))
