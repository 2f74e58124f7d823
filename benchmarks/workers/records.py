"""What handlers write down: which task they ran, and when, a record of a fixed size each."""

from __future__ import annotations

import os
import struct
import time
from functools import cache
from typing import Final, NamedTuple

PLACE: Final = "BENCHMARK_RECORDS"
"""The variable that names the file."""
URL: Final = "BENCHMARK_URL"
"""The variable that says to a worker where its tasks are."""
_RECORD: Final = struct.Struct("=Id")


class Ran(NamedTuple):
    """One run of a handler, on the monotonic clock, which all processes share."""

    number: int
    at: float


@cache
def _file() -> int:
    return os.open(os.environ[PLACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def write_down(number: int) -> None:
    """Append a record; what several processes and threads append does not mix."""
    os.write(_file(), _RECORD.pack(number, time.monotonic()))


class Records:
    """The records of one worker, as they are read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> list[Ran]:
        """Return all that is there, in the order of time."""
        with open(self.path, "rb") as file:
            data = file.read()
        return sorted((Ran(*fields) for fields in _RECORD.iter_unpack(data)), key=lambda ran: ran.at)

    @property
    def count(self) -> int:
        """How many there are."""
        return os.path.getsize(self.path) // _RECORD.size if os.path.exists(self.path) else 0
