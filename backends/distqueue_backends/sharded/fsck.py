"""Examining a sharded store: its manifest, and each shard as a file of its own."""

from __future__ import annotations

import os
import uuid

from distqueue.backend import Fsck
from distqueue.errors import StoreBusy, StoreDamaged, StoreError, StoreMissing
from distqueue_backends.filesystem import open_regular, read_all, write_aside
from distqueue_backends.json import fsck
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
from distqueue_backends.sharded.options import ShardedOptions


def examine(directory: str, options: ShardedOptions, *, repair: bool) -> Fsck:
    """Tell what is wrong with a store, and mend it if ``repair`` is true."""
    if not os.path.isdir(directory):
        raise missing_store(directory)
    found = shards_in(directory)
    if not found and not os.path.lexists(manifest_path(directory)):
        raise missing_store(directory)
    lock = StoreLock(f"{manifest_path(directory)}.lock", options.lock_timeout)
    try:
        with lock:
            return _examine(directory, options, found, repair)
    finally:
        lock.close()


def _examine(directory: str, options: ShardedOptions, found: list[int], repair: bool) -> Fsck:
    reports: list[Fsck] = []
    try:
        manifest = read_manifest(directory)
    except (StoreDamaged, StoreMissing) as error:
        manifest = Manifest(store=str(uuid.uuid4()), shards=options.shards or max(found, default=0) + 1)
        reports.append(_of_manifest(directory, manifest, error, repair))
    reports += [_of_shard(directory, number, manifest, options, repair) for number in range(manifest.shards)]
    reports += [_too_many(number, manifest) for number in found if number >= manifest.shards]
    return Fsck(
        is_sound=all(report.is_sound for report in reports),
        findings=[finding for report in reports for finding in report.findings],
        kept_aside=", ".join(report.kept_aside for report in reports if report.kept_aside) or None,
    )


def _too_many(number: int, manifest: Manifest) -> Fsck:
    finding = f"shard-{number:02}.json is there, but the manifest has {manifest.shards} shards only"
    return Fsck(is_sound=False, findings=[finding])


def _of_manifest(directory: str, new: Manifest, error: StoreError, repair: bool) -> Fsck:
    aside = None
    if repair:
        path = manifest_path(directory)
        if isinstance(error, StoreDamaged):
            fd = open_regular(path)
            try:
                aside = write_aside(path, "damaged", read_all(fd))
            finally:
                os.close(fd)
        write_manifest(directory, new)
    what = "is missing" if isinstance(error, StoreMissing) else "is damaged"
    finding = f"manifest.json {what}; going by the files there are {new.shards} shards"
    return Fsck(is_sound=repair, findings=[finding], kept_aside=aside)


def _of_shard(directory: str, number: int, manifest: Manifest, options: ShardedOptions, repair: bool) -> Fsck:
    path = shard_path(directory, number)
    name = os.path.basename(path)
    lock = StoreLock(f"{path}.lock", options.lock_timeout)
    try:
        with lock:
            report = fsck.repair(path) if repair else fsck.check(path)
    except StoreMissing:
        if repair:
            write_first(path, manifest.store)
        return Fsck(is_sound=repair, findings=[f"{name} is missing, and its tasks with it"])
    except StoreBusy:
        raise
    except StoreError as error:
        return Fsck(is_sound=False, findings=[f"{name}: {error}"])
    finally:
        lock.close()
    return Fsck(
        is_sound=report.is_sound,
        findings=[f"{name}: {finding}" for finding in report.findings],
        kept_aside=report.kept_aside,
    )
