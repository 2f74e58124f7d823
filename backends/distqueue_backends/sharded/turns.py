"""Which shard a claim looks into: the known head of highest priority first, and everyone's turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import Final

from distqueue_backends.sharded.shard import UNKNOWN, Shard
from distqueue_backends.sharded.shards import Shards

STAY: Final = 4
"""For how many claims a process stays with one shard: what is new in the others is read in one go."""


class Turns:
    """The order in which a process goes round the shards. Each process begins at another one."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._start = os.getpid()
        self._stayed = 0

    def choose(self, queue: str, tried: Collection[int], refresh: Callable[[Shard], None]) -> Shard | None:
        """Return the next shard to claim from, ``None`` if there is nothing to be had in any.

        One that knows of nothing claimable, has no news and nothing that is due is passed over
        without taking its lock.
        """
        self._stayed += 1
        if self._stayed > STAY:
            self._start, self._stayed = self._start + 1, 1
        best: Shard | None = None
        highest = UNKNOWN - 1
        others: list[Shard] = []
        for step in range(self._shards.count):
            shard = self._shards.get((self._start + step) % self._shards.count)
            if shard is None or shard.number in tried:
                continue
            priority = shard.first_priority(queue)
            if priority is None and highest < UNKNOWN and shard.may_have_more(queue):
                priority = UNKNOWN
            if priority is None or priority <= highest:
                others.append(shard)
                continue
            if best is not None:
                others.append(best)
            best, highest = shard, priority
        return self._better(queue, others, refresh, highest) or best if highest > UNKNOWN else best

    def _better(
        self, queue: str, others: Sequence[Shard], refresh: Callable[[Shard], None], highest: int
    ) -> Shard | None:
        """Look into a shard with news: they may be of higher priority, and are not passed over for ever."""
        for shard in others:
            if shard.may_have_more(queue):
                refresh(shard)
                priority = shard.first_priority(queue)
                return shard if priority is not None and priority > highest else None
        return None
