"""``manifest.json``: what a directory says of itself, written once.

{"format":"distqueue-sharded-json","version":1,"store":"5f0c…","shards":8}
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from distqueue.errors import StoreDamaged, StoreMissing, UnsupportedFormat
from distqueue_backends.filesystem import open_regular, read_all, replacing

FORMAT: Final = "distqueue-sharded-json"
VERSION: Final = 1
"""The version of the format that is written; a store of a higher one is refused."""
MOST_SHARDS: Final = 64
_NAME: Final = "manifest.json"
_SHARD: Final = re.compile(r"shard-([0-9]{2})\.json", re.ASCII)
_REPAIR: Final = "`distqueue fsck --repair` writes it anew"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """How many shards a store has. ``store`` is its uuid, which every shard has in its header too."""

    format: str = FORMAT
    version: int = VERSION
    store: Annotated[str, Meta(min_length=1)]
    shards: Annotated[int, Meta(ge=1, le=MOST_SHARDS)]


def manifest_path(directory: str) -> str:
    """Return where the manifest of a store is."""
    return os.path.join(directory, _NAME)


def shard_path(directory: str, number: int) -> str:
    """Return where a shard of a store is."""
    return os.path.join(directory, f"shard-{number:02}.json")


def shards_in(directory: str) -> list[int]:
    """Return the numbers of the shards whose files are in a directory."""
    return sorted(int(match[1]) for name in os.listdir(directory) if (match := _SHARD.fullmatch(name)))


def read_manifest(directory: str) -> Manifest:
    """Return the manifest of a store.

    Raises:
        StoreMissing: there is none.
        StoreDamaged: it is not what was written.
        UnsupportedFormat: it is that of a newer distqueue, or of something else.
        StoreError: it is a link or no plain file, or may not be read.
    """
    path = manifest_path(directory)
    fd = open_regular(path)
    try:
        data = read_all(fd)
    finally:
        os.close(fd)
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        _refuse_other_format(path, data)
        raise StoreDamaged(f"{path} is damaged: {error}. Nothing was changed; {_REPAIR}") from None
    if (manifest.format, manifest.version) != (FORMAT, VERSION):
        _refuse_other_format(path, data)
    return manifest


def write_manifest(directory: str, manifest: Manifest) -> None:
    """Put the manifest of a store in place; it is on the disk when this returns."""
    with replacing(manifest_path(directory)) as fd:
        os.write(fd, msgspec.json.encode(manifest) + b"\n")
    os.close(fd)


class _Kind(msgspec.Struct, frozen=True):
    """As much of a manifest as tells what it is one of."""

    format: str = FORMAT
    version: int = VERSION


def _refuse_other_format(path: str, data: bytes) -> None:
    """Refuse what is whole, but not ours."""
    try:
        kind = msgspec.json.decode(data, type=_Kind)
    except msgspec.DecodeError:
        return
    if kind.format != FORMAT:
        raise UnsupportedFormat(f"{path} has format {kind.format!r:.80}, not {FORMAT!r}; is the path right?")
    if kind.version != VERSION:
        raise UnsupportedFormat(f"{path} has version {kind.version}, this is {VERSION}: update distqueue")


def missing_store(directory: str) -> StoreMissing:
    """Return the error for a directory in which there is no store."""
    return StoreMissing(f"no store at {directory}")
