"""Frames: a length of four bytes, the highest first, then so many bytes. As in a ``multiprocessing.Pipe``."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from distqueue.limits import MAX_BATCH_BYTES

MAX_FRAME: Final = MAX_BATCH_BYTES + 32 * 1024 * 1024
"""The longest frame, in bytes: the payloads of a batch and what belongs to them."""

_LENGTH: Final = struct.Struct("!i")


def framed(data: bytes) -> bytes:
    """Return a frame."""
    return _LENGTH.pack(len(data)) + data


def length_of(head: bytes | bytearray) -> int:
    """Return how many bytes follow the first four of a frame.

    Raises:
        ValueError: more than a frame may have, or no length at all.
    """
    (length,) = _LENGTH.unpack(head)
    if not 0 <= length <= MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes; at most {MAX_FRAME}")
    return int(length)


class Frames:
    """Takes in what arrives, piece by piece, and gives out whole frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        """Return how many bytes have arrived and were not given out."""
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        """Take in what arrived."""
        self._bytes += data

    def whole(self) -> Iterator[bytes]:
        """Give out the frames that have arrived whole.

        Raises:
            ValueError: what arrived is no frame.
        """
        while len(self._bytes) >= _LENGTH.size:
            end = _LENGTH.size + length_of(self._bytes[: _LENGTH.size])
            if len(self._bytes) < end:
                return
            frame = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield frame
