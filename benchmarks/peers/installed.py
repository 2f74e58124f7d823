"""Which peers are installed here; those that are not are told, never passed over."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from benchmarks.peers.peer import Setting

_ADAPTERS: Final = {
    "persist-queue": "benchmarks.peers.persist_queue",
    "litequeue": "benchmarks.peers.litequeue",
    "huey": "benchmarks.peers.huey",
    "diskcache": "benchmarks.peers.diskcache",
    "honker": "benchmarks.peers.honker",
}
"""The distribution, and the module that makes a contender of it."""


class Found(NamedTuple):
    """A peer, with its version and its settings if it is installed."""

    distribution: str
    version: str | None
    settings: list[Setting]


def find_peers() -> list[Found]:
    """Return every peer."""
    return [_find(distribution, adapter) for distribution, adapter in _ADAPTERS.items()]


def _find(distribution: str, adapter: str) -> Found:
    try:
        found = version(distribution)
    except PackageNotFoundError:
        return Found(distribution, None, [])
    return Found(distribution, found, list(import_module(adapter).SETTINGS))
