"""Whether two stores hold the same queue: counted and hashed page by page, however large it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.commands import Find
from distqueue.outcomes import expect
from distqueue.results import Found
from distqueue.task import RememberedTask, TaskRecord
from distqueue.transfer.pages import pages_of_tasks

NAMED: Final = 5
"""So many tasks that differ are named."""

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(TaskRecord).decode


class Content:
    """What a queue holds: its counts, a hash that is the same in whatever order, and one of the order.

    ``places`` tells whether the places in line and the order of publishing count: not where a backend
    promises no order. A task's ``number`` itself never does, as a store may give it another one.
    """

    def __init__(self, *, places: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._places = places
        self._sum = 0
        self._order = b""

    @property
    def hash(self) -> str:
        """Tasks and remembered ids as 32 hexadecimal digits."""
        return f"{self._sum:032x}"

    def add_tasks(self, tasks: Iterable[TaskRecord]) -> None:
        """Count tasks in, in the order of publishing."""
        for task in tasks:
            self.counts[task.state.value] += 1
            self._add(normalised(task, places=self._places))
            if self._places:
                self._order = blake2b(self._order + task.task_id.encode(), digest_size=16).digest()

    def add_memory(self, memory: Iterable[RememberedTask]) -> None:
        """Count remembered ids in."""
        for gone in memory:
            self.counts["remembered"] += 1
            self._add(_encode(gone))

    def _add(self, data: bytes) -> None:
        self._sum = (self._sum + int.from_bytes(blake2b(data, digest_size=16).digest())) % 2**128

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Content):
            return NotImplemented
        return (self.counts, self._sum, self._order) == (other.counts, other._sum, other._order)

    __hash__ = None  # type: ignore[assignment] # it grows


def normalised(task: TaskRecord, *, places: bool) -> bytes:
    """Return a task as bytes that are the same in whichever store it is."""
    whole = _decode(_encode(task))  # so that durations are of one type
    return _encode(msgspec.structs.replace(whole, number=0, place=task.place if places else None))


def differences(source: Broker, target: Broker, queue: str, *, places: bool) -> list[str]:
    """Return a sentence on each of the first tasks that are not the same in two stores."""
    found = _differing(source, target, queue, places)
    return [*islice(found, NAMED)]


def _differing(source: Broker, target: Broker, queue: str, places: bool) -> Iterator[str]:
    for tasks, others in _side_by_side(source, target, queue):
        for task, other in zip(tasks, others):
            if other is None:
                yield f"{task.task_id} is not there"
            elif normalised(task, places=places) != normalised(other, places=places):
                yield f"{task.task_id} is not the same"
    for tasks, others in _side_by_side(target, source, queue):
        yield from (f"{task.task_id} is only there" for task, other in zip(tasks, others) if other is None)


def _side_by_side(
    one: Broker, other: Broker, queue: str
) -> Iterator[tuple[Sequence[TaskRecord], Sequence[TaskRecord | None]]]:
    """Go through the tasks of a store, each with that of the same id in another one."""
    for tasks in pages_of_tasks(one, queue):
        found = [other.apply([Find(queue=queue, task_id=task.task_id)])[0] for task in tasks]
        yield tasks, [expect(answer, Found).task for answer in found]
