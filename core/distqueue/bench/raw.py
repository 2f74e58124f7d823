"""The limits of the machine: what the disk, SQLite and a pipe could do if there were no queue."""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from multiprocessing.connection import Connection
from typing import Final

from distqueue.bench.crew import Crew
from distqueue.bench.samples import Sample, repeat
from distqueue.bench.stores import fresh_directory

_ROOM: Final = 16 * 1024 * 1024


class Limit(ABC):
    """Something that the machine does again and again, with so many bytes each time."""

    name: str

    def __init__(self, size: int) -> None:
        self.size = size

    @abstractmethod
    def run(self, directory: str, seconds: float) -> Sample:
        """Do it for so many seconds, in a new directory within this one if it needs files."""


class Sync(Limit):
    """One write into a file laid ahead and one ``fdatasync``: the least that a commit can cost."""

    name = "write and sync"

    def run(self, directory: str, seconds: float) -> Sample:
        block = b"x" * self.size
        room = max(_ROOM, 4 * self.size)
        with fresh_directory(directory) as place, closing(RawLog(os.path.join(place, "raw"), room)) as log:

            def commit() -> int:
                log.commit(block)
                return 1

            return repeat(self.name, commit, seconds)


class Rows(Limit):
    """SQLite with ``synchronous=FULL`` and a write-ahead log, one row a transaction."""

    name = "SQLite, a row a transaction"

    def run(self, directory: str, seconds: float) -> Sample:
        row = ("x" * self.size,)
        with (
            fresh_directory(directory) as place,
            closing(sqlite3.connect(os.path.join(place, "raw.db"), isolation_level=None)) as connection,
        ):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, data TEXT)")

            def insert() -> int:
                connection.execute("INSERT INTO rows (data) VALUES (?)", row)
                return 1

            return repeat(self.name, insert, seconds)


class Trips(Limit):
    """There and back through a pipe to another process: what a broker process has to add at least."""

    name = "pipe, there and back"

    def run(self, directory: str, seconds: float) -> Sample:
        block = b"x" * self.size
        with Crew() as crew:
            other = crew.add(_echo)
            crew.hear(other)
            pipe = crew.pipe(other)

            def trip() -> int:
                pipe.send_bytes(block)
                pipe.recv_bytes()
                return 1

            return repeat(self.name, trip, seconds)


class RawLog:
    """A file laid ahead, which is written from its begin again once it is full."""

    def __init__(self, path: str, room: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._at = self._room = 0
        while self._room < room:
            self._room += os.write(self._fd, b" " * min(room - self._room, 1 << 22))
        os.fsync(self._fd)

    def commit(self, block: bytes) -> None:
        """Write a block behind the last one, and sync it."""
        if self._at + len(block) > self._room:
            self._at = 0
        os.pwrite(self._fd, block, self._at)
        os.fdatasync(self._fd)
        self._at += len(block)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def limits(sizes: list[int], batches: list[int]) -> list[Limit]:
    """Return the limits for payloads of these sizes, and for batches of them where that is one write."""
    blocks = sorted({size * batch for size in sizes for batch in batches})
    return [
        *(Sync(block) for block in blocks),
        *(Rows(size) for size in sizes),
        *(Trips(size) for size in sizes),
    ]


def _echo(pipe: Connection) -> None:
    pipe.send("ready")
    while True:
        pipe.send_bytes(pipe.recv_bytes())
