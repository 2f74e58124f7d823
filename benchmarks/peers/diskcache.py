"""diskcache's ``Deque``: SQLite, ``synchronous=NORMAL`` unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import orjson
from diskcache import Cache, Deque

from benchmarks.peers.peer import DEFAULT, FSYNC, Peer, Setting
from distqueue.capabilities import Durability

_NORMAL, _FULL = 1, 2


class Diskcache(Peer):
    """To take a task is to remove it: there is no ack. A transaction makes one commit of many calls."""

    def __init__(self, directory: str, *, is_synced: bool = True) -> None:
        level = _FULL if is_synced else _NORMAL
        # Without eviction, as a Deque that makes its own cache has it: queued tasks would be dropped.
        self._cache = Cache(f"{directory}deque", eviction_policy="none", sqlite_synchronous=level)
        self._deque = Deque.fromcache(self._cache)

    def put(self, batch: Sequence[object]) -> None:
        if len(batch) == 1:
            self._deque.append(orjson.dumps(batch[0]))
            return
        with self._deque.transact():
            self._deque.extend(orjson.dumps(data) for data in batch)

    def claim_now(self, count: int) -> list[Any]:
        if count == 1:
            return self._popped(1)
        with self._deque.transact():
            return self._popped(count)

    def left(self) -> int:
        return len(self._deque)

    def close(self) -> None:
        self._cache.close()

    def _popped(self, count: int) -> list[Any]:
        taken: list[Any] = []
        try:
            while len(taken) < count:
                taken.append(orjson.loads(self._deque.popleft()))
        except IndexError:  # it is empty
            pass
        return taken


SETTINGS: Final = [
    Setting("diskcache Deque", DEFAULT, Durability.FLUSH, partial(Diskcache, is_synced=False)),
    Setting("diskcache Deque", FSYNC, Durability.FSYNC, Diskcache),
]
