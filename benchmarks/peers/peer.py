"""What the adapters of other queues have in common."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

from distqueue.bench.contender import Contender, Opening, Subject
from distqueue.bench.stores import fresh_directory
from distqueue.capabilities import Durability

DEFAULT: Final = "default"
FSYNC: Final = "fsync per ack"
"""What it acknowledges, a put or an ack, is on the disk."""
DEFAULT_IS_FSYNC: Final = "default (fsync per ack)"
LEASE: Final = 5.0
"""How long a claimed task is its consumer's, in seconds, for whoever has leases."""
_POLL: Final = 0.001


class Peer(Contender):
    """A queue that is asked again every millisecond while it has nothing: none has a call that waits well."""

    @abstractmethod
    def claim_now(self, count: int) -> list[Any]:
        """Claim up to so many tasks and return their payloads."""

    def claim(self, count: int, timeout: float = 0.0) -> list[Any]:
        end = time.monotonic() + timeout
        while not (payloads := self.claim_now(count)) and time.monotonic() < end:
            time.sleep(_POLL)
        return payloads

    def ack(self) -> None:
        """Nothing is left to do: to take a task is to remove it, unless a queue says otherwise."""


class Setting(NamedTuple):
    """A peer as its users have it by default, or such that what it acknowledges survives a power cut."""

    name: str
    setting: str
    durability: Durability
    open: Callable[[str], Contender]
    """Opens the store that is in a directory, or makes one."""
    is_shared: bool = True
    most_at_once: int | None = None

    def subject(self, parent: str) -> Subject:
        """Return what is measured: new stores of it, in ``parent``."""
        return Subject(
            f"{self.name}, {self.setting}",
            self.durability,
            partial(_fresh, parent, self.open),
            self.is_shared,
            self.most_at_once,
        )


def one_by_one(batch: Sequence[Any], put: Callable[[Any], object]) -> None:
    """Put tasks into a queue that has no call for many."""
    for data in batch:
        put(data)


@contextmanager
def _fresh(parent: str, opened: Callable[[str], Contender]) -> Iterator[Opening]:
    with fresh_directory(parent) as directory:
        yield partial(opened, os.path.join(directory, ""))
