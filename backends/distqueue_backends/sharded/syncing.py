"""Syncing several files at once: a disk answers many syncs in hardly more time than one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from distqueue_backends.sharded.shard import Shard


class Syncing:
    """Threads that wait for the disk, begun when there is more than one file to sync."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._threads: ThreadPoolExecutor | None = None

    def sync(self, shards: Sequence[Shard]) -> None:
        """Let what was written into shards be on the disk.

        Raises:
            OutcomeUnknown: a sync failed; all of them are over.
        """
        if len(shards) > 1 and self._threads is None:
            self._threads = ThreadPoolExecutor(self._shards, thread_name_prefix="distqueue-sync")
        others = [self._threads.submit(shard.sync) for shard in shards[1:]] if self._threads else []
        try:
            for shard in shards[:1]:
                shard.sync()
        finally:
            wait(others)
        for other in others:
            other.result()

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown()
