"""The shards of an open store: those that can be used, and what is wrong with the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Final

from distqueue.clock import Clock
from distqueue.errors import ShardUnavailable, StoreBusy, StoreDamaged, StoreError
from distqueue_backends.bell import Bell
from distqueue_backends.sharded.manifest import Manifest, shard_path
from distqueue_backends.sharded.options import ShardedOptions
from distqueue_backends.sharded.shard import Shard

_log: Final = logging.getLogger("distqueue")


class Shards:
    """The shards of one store by number, without those that are damaged."""

    def __init__(self, directory: str, manifest: Manifest, options: ShardedOptions, bell: Bell) -> None:
        self.directory = directory
        self._sound: dict[int, Shard] = {}
        self._lost: list[Shard] = []
        self.damage: dict[int, str] = {}
        self.count = manifest.shards
        for number in range(manifest.shards):
            try:
                path = shard_path(directory, number)
                self._sound[number] = Shard(path, options, bell, number, manifest.shards)
            except StoreBusy:
                self.close()
                raise
            except StoreError as error:
                self._note(number, error)
        if not self._sound:
            raise StoreDamaged(
                f"every shard of {directory} is damaged; nothing was changed. `distqueue fsck` tells more"
            )

    def __iter__(self) -> Iterator[Shard]:
        """Go through those that can be used."""
        return iter(list(self._sound.values()))

    def __getitem__(self, number: int) -> Shard:
        """Return a shard.

        Raises:
            ShardUnavailable: it is damaged.
        """
        shard = self._sound.get(number)
        if shard is None:
            raise self.refusal(number)
        return shard

    def get(self, number: int) -> Shard | None:
        """Return a shard, ``None`` if it is damaged."""
        return self._sound.get(number)

    def lose(self, shard: Shard, error: StoreError) -> ShardUnavailable:
        """Go on without a shard; return the refusal of what was meant for it."""
        self._lost.append(self._sound.pop(shard.number))
        self._note(shard.number, error)
        return self.refusal(shard.number)

    def refusal(self, number: int) -> ShardUnavailable:
        """Return the refusal of what belongs into a damaged shard."""
        return ShardUnavailable(
            f"{shard_path(self.directory, number)} cannot be used, nothing was stored: {self.damage[number]}."
            " The other shards go on; close the store and run `distqueue fsck --repair`"
        )

    @property
    def damaged(self) -> list[str]:
        """The names of the files that cannot be used."""
        return [os.path.basename(shard_path(self.directory, number)) for number in sorted(self.damage)]

    @property
    def clock(self) -> Clock:
        """The clock that leases run on."""
        return next(iter(self)).clock

    def close(self) -> None:
        """Close all of them."""
        for shard in [*self._sound.values(), *self._lost]:
            shard.close()

    def _note(self, number: int, error: StoreError) -> None:
        self.damage[number] = str(error).rstrip(".")
        _log.error("%s is left out: %s", shard_path(self.directory, number), error)
