"""Columns of arguments in PostgreSQL's binary format: arrays encoded whole, and not value by value.

For statements on connections of our own. What an application's connection is given stays lists, as its
library wants them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any, Final

from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.postgres import types
from psycopg.pq import Format

type Encode = Callable[[Sequence[Any]], bytes]

_PLACEHOLDER: Final = re.compile(r"%[sb](?:::(\w+)\[\])?")
_HEAD: Final = struct.Struct("!5i").pack
"""The head of an array: its dimensions, whether it has NULLs, the type, how many items, the first index."""
_LENGTH: Final = struct.Struct("!i").pack
_NULL: Final = _LENGTH(-1)
_NUMBERS: Final = {"int2": "h", "int8": "q", "float8": "d"}
"""Types of numbers, and how ``struct`` packs them."""
_TEXT: Final = types["text"].oid
_BYTEA: Final = types["bytea"].oid


class Column:
    """An array, encoded."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _ColumnDumper(Dumper):
    """Hands an encoded column over; its type is that of the cast in the statement."""

    format = Format.BINARY

    def dump(self, obj: Column) -> Buffer:
        return obj.data


def take_columns(connection: Connection[Any]) -> None:
    """Let a connection be given columns."""
    connection.adapters.register_dumper(Column, _ColumnDumper)


def encoders(statement: str) -> list[tuple[int, Encode]]:
    """Return the positions of the arguments that a statement casts as ``%b::type[]``, and their encoders."""
    found: list[tuple[int, Encode]] = []
    for position, match in enumerate(_PLACEHOLDER.finditer(statement)):
        if match[1] is not None and match[0].startswith("%b"):
            found.append((position, _ENCODERS[match[1]]))
    return found


def _numbers(oid: int, code: str, values: Sequence[Any]) -> bytes:
    item = struct.Struct(f"!i{code}")
    size = item.size - 4
    count = len(values)
    try:
        if None in values:
            return _with_nulls(oid, [None if each is None else item.pack(size, each) for each in values])
        if values and values.count(values[0]) == count:
            return _HEAD(1, 0, oid, count, 1) + item.pack(size, values[0]) * count
        body = struct.pack("!" + f"i{code}" * count, *chain.from_iterable(zip(repeat(size), values)))
    except struct.error as error:
        raise OverflowError(f"a number does not fit: {error}") from None
    return _HEAD(1, 0, oid, count, 1) + body


def _strings(oid: int, values: Sequence[Any]) -> bytes:
    count = len(values)
    if None in values:
        return _with_nulls(oid, [None if each is None else _LENGTH(len(each)) + each for each in values])
    if count and len(set(map(len, values))) == 1:  # then what stands between them is always the same
        length = _LENGTH(len(values[0]))
        return _HEAD(1, 0, oid, count, 1) + length + length.join(values)
    return _HEAD(1, 0, oid, count, 1) + b"".join([_LENGTH(len(each)) + each for each in values])


def _texts(values: Sequence[Any]) -> bytes:
    return _strings(_TEXT, [None if each is None else each.encode() for each in values])


def _with_nulls(oid: int, items: Sequence[bytes | None]) -> bytes:
    return _HEAD(1, 1, oid, len(items), 1) + b"".join([_NULL if each is None else each for each in items])


def _bytes(values: Sequence[Any]) -> bytes:
    return _strings(_BYTEA, values)


_ENCODERS: Final[dict[str, Encode]] = {
    "text": _texts,
    "bytea": _bytes,
    **{name: partial(_numbers, types[name].oid, code) for name, code in _NUMBERS.items()},
}
