"""The clients that wait for something to claim, in the order in which they came."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.broker.event import Wait
from distqueue.broker.link import Link
from distqueue.results import Seen

LONGEST: Final = 5.0
"""How long a client waits at most before it looks for itself, in seconds."""


class Waiting(msgspec.Struct, eq=False):
    """A client that waits until ``until`` (monotonic) for more than ``seen`` in a queue."""

    link: Link
    number: int
    queue: str
    seen: Seen
    until: float


class Parked:
    """Lets each go once there may be more than it has seen, its time is over, or a task is due."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lines: dict[str, dict[int, Waiting]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    @property
    def queues(self) -> list[str]:
        """The queues in which somebody waits."""
        return list(self._lines)

    def add(self, link: Link, number: int, wait: Wait) -> Seen | None:
        """Let a client wait, or return what it has not seen yet."""
        if (news := self._news(wait.queue, wait.seen)) is not None:
            return news
        longest = LONGEST if wait.timeout is None else min(wait.timeout, LONGEST)
        if wait.seen.wake_at is not None:
            longest = min(longest, max(0.0, wait.seen.wake_at - time.time()))
        waiting = Waiting(link, number, wait.queue, wait.seen, time.monotonic() + longest)
        self._lines.setdefault(wait.queue, {})[id(waiting)] = waiting
        return None

    def woken(self, queue: str, most: int) -> Iterator[tuple[Waiting, Seen]]:
        """Let up to ``most`` go that wait in a queue, the longest waiting first, if there is news."""
        line = self._lines.get(queue, {})
        for waiting in list(line.values())[:most]:
            if (news := self._news(queue, waiting.seen)) is None:
                return
            self._remove(waiting)
            yield waiting, news

    def over(self) -> Iterator[tuple[Waiting, Seen]]:
        """Let those go whose time is over."""
        now = time.monotonic()
        for line in list(self._lines.values()):
            for waiting in [each for each in line.values() if each.until <= now]:
                self._remove(waiting)
                yield waiting, waiting.seen

    def forget(self, link: Link) -> list[str]:
        """Forget a client that is gone; return the queues in which it waited."""
        gone = [each for line in self._lines.values() for each in line.values() if each.link is link]
        for waiting in gone:
            self._remove(waiting)
        return [waiting.queue for waiting in gone]

    def next_end(self) -> float | None:
        """Return when the time of the next one is over (monotonic)."""
        return min((each.until for line in self._lines.values() for each in line.values()), default=None)

    def _news(self, queue: str, seen: Seen) -> Seen | None:
        now = self._broker.wait(queue, seen, 0.0)
        return now if now.version != seen.version else None

    def _remove(self, waiting: Waiting) -> None:
        line = self._lines[waiting.queue]
        del line[id(waiting)]
        if not line:
            del self._lines[waiting.queue]
