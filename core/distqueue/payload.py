"""Payloads: JSON values as bytes, checked once where they enter and carried unchanged from then on.

orjson accepts deeper values than it can write, turns NaN into null and large integers into floats;
so a payload is encoded where it is made, checked against the limits below, and never encoded again.
"""

from __future__ import annotations

import zlib
from math import isfinite
from typing import Any, Final

import orjson

from distqueue.errors import InvalidTask

MAX_DEPTH: Final = 64
"""How deep arrays and objects may be nested in a payload."""

_SHALLOW: Final = 2 * MAX_DEPTH
"""So many bytes have no room for more brackets than that."""


class Payload(bytes):
    """Bytes that are known to be one JSON value, within the depth limit and without line breaks."""

    __slots__ = ()


def encode(data: Any) -> Payload:
    """Encode a Python value.

    Dataclasses, datetimes, UUIDs and enums become what orjson makes of them.

    Raises:
        InvalidTask: the value cannot be written as JSON (NaN and the infinities neither), or is nested too
            deeply.
    """
    try:
        raw = orjson.dumps(data)
    except TypeError as error:
        raise InvalidTask(f"the payload cannot be written as JSON: {error}") from None
    if len(raw) > _SHALLOW and raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _refuse_deep(raw)
    if b"null" in raw and _holds_no_number(data):  # which orjson writes as null
        raise InvalidTask("the payload holds NaN or an infinity, for which JSON has no word; use None")
    return Payload(raw)


def check(raw: bytes) -> Payload:
    """Return bytes made elsewhere as a payload; a :class:`Payload` passes unchanged.

    Raises:
        InvalidTask: they are not exactly one JSON value, or it is nested too deeply.
    """
    if type(raw) is Payload:
        return raw
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _refuse_deep(raw)
    try:
        orjson.loads(raw)
        # A raw line break would end the line of a commit. It can only stand between values.
        has_break = b"\n" in raw or b"\r" in raw
        return Payload(raw.replace(b"\n", b" ").replace(b"\r", b" ").strip() if has_break else raw)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise InvalidTask(f"the payload is not one JSON value: {error}") from None


def decode(raw: bytes) -> Any:
    """Return the Python value of a payload."""
    return orjson.loads(bytes(raw))  # orjson takes no subclass of bytes


def checksum(raw: bytes) -> int:
    """Return the CRC-32 by which a second put with the same id is held against the first."""
    return zlib.crc32(raw)


def _holds_no_number(data: Any) -> bool:
    if isinstance(data, float):
        return not isfinite(data)
    if isinstance(data, dict):
        return any(map(_holds_no_number, data.values()))
    return isinstance(data, list | tuple) and any(map(_holds_no_number, data))


def _refuse_deep(raw: bytes) -> None:
    depth, in_string, escaped = 0, False, False
    for byte in raw:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidTask(
                    f"the payload is nested deeper than {MAX_DEPTH} levels; flatten it, "
                    "or put a reference to where it is kept"
                )
        elif byte in b"]}":
            depth -= 1
