"""The clients that wait for something to claim, in the order in which they came."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.broker.event import Wait
from distqueue.broker.link import Link
from distqueue.commands import Claim
from distqueue.results import Seen

LONGEST: Final = 5.0
"""How long a client waits at most before it looks for itself, in seconds."""


class Waiting(msgspec.Struct, eq=False):
    """A client that waits until ``until`` (monotonic) for more than ``seen``, to claim it if it says so.

    ``ends`` is when its patience is over, ``until`` that, or when a task is due before.
    """

    link: Link
    number: int
    queue: str
    seen: Seen
    claim: Claim | None
    ends: float
    until: float = 0.0

    @property
    def commands(self) -> list[Claim]:
        """What it asks for."""
        return [] if self.claim is None else [self.claim]

    def claims_at(self, now: float) -> bool:
        """Whether its claim is to be carried out, and not only to be told (monotonic)."""
        return self.claim is not None and self.ends > now


class Parked:
    """Lets each go once there may be more than it has seen, its time is over, or a task is due."""

    def __init__(self, broker: Broker, longest: float) -> None:
        self._broker = broker
        self._longest = longest
        self._lines: dict[str, dict[int, Waiting]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def queues(self) -> list[str]:
        """The queues in which somebody waits."""
        return list(self._lines)

    def add(self, link: Link, number: int, wait: Wait) -> Waiting | None:
        """Let a client wait; return it if there is something that it has not seen yet."""
        longest = self._longest if wait.timeout is None else min(wait.timeout, self._longest)
        ends = time.monotonic() + longest
        waiting = Waiting(link, number, wait.queue, wait.seen, wait.claim, ends)
        if self._has_news(waiting):
            return waiting
        self.put_back(waiting)
        return None

    def put_back(self, waiting: Waiting) -> None:
        """Let a client wait (on) for more than it has seen."""
        wake_at = waiting.seen.wake_at
        due = waiting.ends if wake_at is None else time.monotonic() + max(0.0, wake_at - time.time())
        waiting.until = min(waiting.ends, due)
        self._lines.setdefault(waiting.queue, {})[id(waiting)] = waiting

    def claiming(self, queue: str, most: int) -> list[Waiting]:
        """Let up to ``most`` go that wait in a queue in order to claim, the longest waiting first."""
        return self._gone([each for each in self._line(queue) if each.claim is not None][:most])

    def woken(self, queue: str, most: int) -> list[Waiting]:
        """Let up to ``most`` go that wait in a queue, the longest waiting first."""
        return self._gone(self._line(queue)[:most])

    def with_news(self) -> list[Waiting]:
        """Let those go for whom the store, which others change too, has something that they have not seen."""
        return self._gone(
            [each for queue in self._lines for each in self._line(queue) if self._has_news(each)]
        )

    def over(self) -> list[Waiting]:
        """Let those go whose time is over, or for whom a task is due."""
        now = time.monotonic()
        return self._gone([each for queue in self._lines for each in self._line(queue) if each.until <= now])

    def wake_by(self, queue: str, at: float) -> None:
        """Let whoever waits in a queue look at a time at which a lease ends (seconds since the epoch)."""
        by = time.monotonic() + max(0.0, at - time.time())
        for waiting in self._line(queue):
            waiting.until = min(waiting.until, by)

    def forget(self, link: Link) -> list[str]:
        """Forget a client that is gone; return the queues in which it waited."""
        gone = self._gone([each for queue in self._lines for each in self._line(queue) if each.link is link])
        return [waiting.queue for waiting in gone]

    def next_end(self) -> float | None:
        """Return when the time of the next one is over (monotonic)."""
        return min((each.until for line in self._lines.values() for each in line.values()), default=None)

    def _has_news(self, waiting: Waiting) -> bool:
        now = self._broker.wait(waiting.queue, waiting.seen, 0.0)
        if now.version == waiting.seen.version:
            return False
        waiting.seen = now
        return True

    def _line(self, queue: str) -> list[Waiting]:
        return list(self._lines.get(queue, {}).values())

    def _gone(self, those: list[Waiting]) -> list[Waiting]:
        """Let them wait no more."""
        for waiting in those:
            line = self._lines[waiting.queue]
            del line[id(waiting)]
            if not line:
                del self._lines[waiting.queue]
        return those
