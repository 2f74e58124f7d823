"""Lines from the standard input, as they arrive: what one read brings is handled together."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import msgspec

from distqueue.errors import TooLarge
from distqueue.limits import MAX_BATCH_BYTES

_CHUNK = 1024 * 1024


class Arrival(msgspec.Struct, frozen=True):
    """Lines with their numbers, without empty ones; ``bytes_read`` counts from the beginning."""

    lines: list[tuple[int, bytes]]
    bytes_read: int


def arriving(fd: int) -> Iterator[Arrival]:
    """Go through the lines that arrive at a descriptor, without waiting for more than there are.

    Raises:
        TooLarge: a line has more bytes than any payload may have.
    """
    number, read, rest = 0, 0, b""
    while chunk := os.read(fd, _CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        read += len(chunk)
        yield Arrival(_numbered(whole, number), read)
        number += len(whole)
        if len(rest) > MAX_BATCH_BYTES:
            raise TooLarge(f"line {number + 1} has more than {MAX_BATCH_BYTES} bytes; write one task a line")
    if rest:
        yield Arrival(_numbered([rest], number), read)


def size_of(fd: int) -> int | None:
    """Return how many bytes will arrive, if that is known."""
    status = os.fstat(fd)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _numbered(lines: list[bytes], before: int) -> list[tuple[int, bytes]]:
    return [(number, line) for number, line in enumerate(lines, before + 1) if line and not line.isspace()]
