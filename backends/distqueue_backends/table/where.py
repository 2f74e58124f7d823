"""Where a payload is: itself, or offset and size in a file as one integer, to save memory."""

from __future__ import annotations

from collections.abc import Iterable

_SIZE_BITS = 24
_SIZE_MASK = (1 << _SIZE_BITS) - 1


def pack(offset: int, size: int) -> int:
    """Return offset and size (under 16 MiB) as one integer."""
    return offset << _SIZE_BITS | size


def pack_all(spans: Iterable[tuple[int, int]]) -> list[int]:
    """Return many offsets and sizes, each pair as one integer."""
    return [offset << _SIZE_BITS | size for offset, size in spans]


def unpack(where: int) -> tuple[int, int]:
    """Return the offset and size in an integer."""
    return where >> _SIZE_BITS, where & _SIZE_MASK


def payload_size(where: bytes | int) -> int:
    """Return the size of a payload, wherever it is."""
    return where & _SIZE_MASK if isinstance(where, int) else len(where)
