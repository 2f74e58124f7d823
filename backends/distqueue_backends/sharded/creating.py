"""Making a new store in a directory: the shards first, then the manifest, which makes a store of them."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from distqueue.errors import ConfigError, StoreDamaged, StoreError, StoreMissing
from distqueue.urls import StoreURL
from distqueue_backends.filesystem import open_regular, refuse_network, sync_directory
from distqueue_backends.json.compaction import write_first
from distqueue_backends.lock import StoreLock
from distqueue_backends.sharded.manifest import (
    Manifest,
    manifest_path,
    missing_store,
    read_manifest,
    shard_path,
    shards_in,
    write_manifest,
)
from distqueue_backends.sharded.options import SHARDS, ShardedOptions

_EXPECTED: Final = ("manifest.json", "shard-", "bell", "lost+found", ".")
"""What the names in a directory that may become a store begin with."""


def find_manifest(directory: str, options: ShardedOptions, *, create: bool) -> Manifest:
    """Return the manifest of the store in a directory, made if it is not there and ``create`` is true.

    Raises:
        StoreMissing: there is none and ``create`` is false, or the directory above it is missing.
        ConfigError: it has another number of shards than the URL says.
        StoreDamaged, UnsupportedFormat, StoreError: what is there is no store, or not a sound one.
    """
    _check_directory(directory, create)
    try:
        manifest = read_manifest(directory)
    except StoreMissing:
        _refuse_orphans(directory)
        if not create:
            raise missing_store(directory) from None
        manifest = _create(directory, options)
    if options.shards not in (None, manifest.shards):
        old = StoreURL(scheme="sharded-json", path=directory)
        new = replace(old, path=f"{directory}.new", query={"shards": str(options.shards)})
        raise ConfigError(
            f"{directory} has {manifest.shards} shards, not {options.shards}: leave shards= out, or move its "
            f"tasks with `distqueue move {old} {new}`"
        )
    return manifest


def _refuse_orphans(directory: str) -> None:
    if _has_commits(directory):
        raise StoreDamaged(
            f"{manifest_path(directory)} is missing, but there are shards. Nothing was changed; "
            "`distqueue fsck --repair` writes it anew"
        )


def _has_commits(directory: str) -> bool:
    """Whether a shard holds more than what a process leaves that is killed while it makes a store."""
    for number in shards_in(directory):
        fd = open_regular(shard_path(directory, number))
        try:
            if b'"seq":' in os.pread(fd, 8192, 0):
                return True
        finally:
            os.close(fd)
    return False


def _check_directory(directory: str, create: bool) -> None:
    parent = os.path.dirname(directory)
    if not os.path.isdir(parent):
        raise StoreMissing(f"there is no directory {parent}; create it first")
    if not os.path.lexists(directory):
        if not create:
            raise missing_store(directory)
        refuse_network(directory)
        try:
            with suppress(FileExistsError):
                os.mkdir(directory, 0o700)
        except OSError as error:
            raise StoreError(f"{directory} cannot be made: {error.strerror}") from error
    if not os.path.isdir(directory):
        raise StoreError(f"{directory} is not a directory; a sharded store is one")
    refuse_network(manifest_path(directory))


def _create(directory: str, options: ShardedOptions) -> Manifest:
    """Make the store, unless another process does."""
    _refuse_others(directory)
    lock = StoreLock(f"{manifest_path(directory)}.lock", options.lock_timeout)
    try:
        with lock:
            with suppress(StoreMissing):
                return read_manifest(directory)
            _refuse_orphans(directory)
            manifest = Manifest(store=str(uuid.uuid4()), shards=options.shards or SHARDS)
            for number in range(manifest.shards):
                write_first(shard_path(directory, number), manifest.store)
            sync_directory(directory)  # its name: who made it may have been killed before
            write_manifest(directory, manifest)
            return manifest
    finally:
        lock.close()


def _refuse_others(directory: str) -> None:
    for name in os.listdir(directory):
        if not name.startswith(_EXPECTED):
            raise StoreError(
                f"{directory} is no sharded store, and {name!r:.80} is in it; use a directory of its own"
            )
