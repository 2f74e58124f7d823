"""The lines of an export: what each may hold, and how it is written and read."""

from __future__ import annotations

from typing import Final

import msgspec

from distqueue.errors import InvalidTask, UnsupportedFormat
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.task import RememberedTask, TaskRecord

FORMAT: Final = 1
"""The version of the format."""
MAX_LINE: Final = MAX_BATCH_BYTES
"""The longest line, in bytes: what is longer was never exported."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    distqueue_export: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many lines of each kind an export has."""

    tasks: int = 0
    remembered: int = 0
    paused: int = 0


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Every line but the first: it has exactly one of these."""

    paused: str | None = None
    task: TaskRecord | None = None
    remembered: RememberedTask | None = None
    end: Counts | None = None


type Content = str | TaskRecord | RememberedTask | Counts
"""What a line says: the name of a paused queue, a task, a remembered id, or that this is the end."""

HEADER_LINE: Final = msgspec.json.encode(Header(FORMAT)) + b"\n"
HEADER_START: Final = b'{"distqueue_export":'

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Line).decode
_decode_header: Final = msgspec.json.Decoder(Header).decode


def encode_line(line: Line) -> bytes:
    """Return a line with its line break."""
    return _encode(line) + b"\n"


def check_header(raw: bytes, name: str) -> None:
    """Refuse a first line that is not that of an export which can be read.

    Raises:
        UnsupportedFormat: it is not; ``name`` says in the message what was read.
    """
    try:
        header = _decode_header(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnsupportedFormat(
            f"{name} is not an export: its first line is not {HEADER_LINE.decode().strip()}; "
            "make one with `distqueue export`"
        ) from None
    if header.distqueue_export != FORMAT:
        raise UnsupportedFormat(
            f"{name} is an export of format {header.distqueue_export}, and this distqueue reads "
            f"format {FORMAT}; install the one that wrote it, or a newer one"
        )


def decode_line(raw: bytes, number: int) -> Content:
    """Return what a line says.

    Raises:
        InvalidTask: it is not one of an export; the message has its number.
    """
    try:
        line = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTask(f"line {number} is not one of an export: {error}") from None
    contents = [each for each in (line.paused, line.task, line.remembered, line.end) if each is not None]
    if len(contents) != 1:
        raise InvalidTask(f"line {number} has to have exactly one of paused, task, remembered, end")
    return contents[0]
