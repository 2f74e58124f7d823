"""The sharded JSON backend: commands are divided among the shards, the answers put together again.

Each shard is a single JSON store with a lock of its own, so that processes seldom wait for each other.
All shards ring one bell, so that who waits listens to one file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Self

import msgspec

from distqueue.backend import Fsck, OpenStore
from distqueue.capabilities import Capabilities
from distqueue.commands import Command
from distqueue.errors import Closed
from distqueue.forking import close_after_fork
from distqueue.limits import check_batch
from distqueue.results import Outcome, Seen
from distqueue.urls import StoreURL
from distqueue_backends.bell import Bell
from distqueue_backends.file_backend import longest_wait, wait_for_ring
from distqueue_backends.lock import StoreLock
from distqueue_backends.sharded import fsck
from distqueue_backends.sharded.call import Call
from distqueue_backends.sharded.claims import Claims
from distqueue_backends.sharded.creating import find_manifest
from distqueue_backends.sharded.forwarding import Forwarding
from distqueue_backends.sharded.manifest import manifest_path
from distqueue_backends.sharded.options import SHARDED_CAPABILITIES, ShardedOptions
from distqueue_backends.sharded.shards import Shards
from distqueue_backends.sharded.syncing import Syncing
from distqueue_backends.sharded.turns import Turns


class ShardedBackend(OpenStore):
    """A directory of shards, shared with any number of other processes."""

    @classmethod
    def open(cls, url: StoreURL, options: ShardedOptions, *, create: bool) -> Self:
        """Open the store in the directory at the URL's path.

        Raises:
            ConfigError: it has another number of shards than the URL says.
            StoreMissing: there is none and ``create`` is false, or the directory above it is missing.
            StoreBusy, StoreDamaged, UnsupportedFormat, StoreError: it cannot be opened.
        """
        return cls(url.file_path(), options, create=create)

    @classmethod
    def fsck(cls, url: StoreURL, options: ShardedOptions, *, repair: bool) -> Fsck:
        return fsck.examine(os.path.abspath(url.file_path()), options, repair=repair)

    def __init__(self, path: str, options: ShardedOptions | None = None, *, create: bool = True) -> None:
        super().__init__()
        options = options or ShardedOptions()
        self.path = os.path.abspath(path)
        self._capabilities = msgspec.structs.replace(
            SHARDED_CAPABILITIES, dedup_window=options.dedup_window, dedup_max=options.dedup_max
        )
        manifest = find_manifest(self.path, options, create=create)
        self._lock = StoreLock(f"{manifest_path(self.path)}.lock", options.lock_timeout)
        close_after_fork(self)
        try:
            self._lock.check_served()
            self._bell = Bell(os.path.join(self.path, "bell"))
            self._shards = Shards(self.path, manifest, options, self._bell)
        except BaseException:
            self._lock.close()
            raise
        self._turns = Turns(self._shards)
        self._syncing = Syncing(manifest.shards)
        self._forwarding = Forwarding(self._shards, self._lock)
        self._forwarding.forward_leftovers()

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if self._closing.is_set():
            raise Closed("the store is closed; open the URL again")
        check_batch(commands, self._capabilities)
        claims = Claims(self._shards, self._turns, self._bell)
        outcomes = Call(self._shards, claims, self._forwarding, self._syncing, commands).carry_out()
        self._forwarding.forward_leftovers()
        return outcomes

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        longest = longest_wait(self._shards.clock, seen, timeout)
        return wait_for_ring(self._bell, self._closing, seen, longest)

    def serve_at(self, address: str) -> bool:
        with self._lock:
            self._lock.hold(address)
        for shard in self._shards:
            shard.serve_at(address)
        return True

    def shut(self) -> None:
        self._bell.close()
        self._syncing.close()
        self._shards.close()
        self._lock.let_go()
        self._lock.close()

    def leave_to_parent(self) -> None:
        """Close what a fork copied; the shards do so themselves."""
        self._lock.close()
