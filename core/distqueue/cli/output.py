"""What commands print: tables for people, tab-separated lines for pipes, JSON for programs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def print_json(value: object) -> None:
    """Print a value as one line of JSON. Structs have all their fields, also those with default values."""
    print_bytes(msgspec.json.encode(_whole(value)))


def print_line(text: str) -> None:
    """Print one line of text, with whatever could steer a terminal made visible."""
    print_bytes(clean(text).encode(errors="backslashreplace"))


def print_bytes(line: bytes) -> None:
    """Print one line.

    Raises:
        BrokenPipeError: nobody reads any more.
        OSError: it cannot be written.
    """
    try:
        sys.stdout.buffer.write(line + b"\n")
    except OSError as error:
        raise _unwritten(error) from error


def write_out(line: bytes) -> None:
    """Print one line and return once it has left this process, so that it cannot be lost any more."""
    sys.stdout.buffer.flush()
    rest = memoryview(line + b"\n")
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]


def flush() -> None:
    """Let what was printed leave this process; raises what :func:`print_bytes` does."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _unwritten(error) from error


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows: on a terminal as a table, otherwise tab-separated below a line of names."""
    texts = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, texts)
        return
    for row in (columns, *texts):
        print_line("\t".join(row))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print what is known of one thing, a name and its value on each line."""
    print_table(("field", "value"), fields.items())


def clean(text: str) -> str:
    """Return a text with control characters escaped, but for tabs: it is shown to a person."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\t" else _escaped(char) for char in text)


def counted(count: int, what: str) -> str:
    """Return a number with what it counts: ``1 task``, ``2 tasks``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def shown_time(at: float | None) -> str:
    """Return a time in seconds since the epoch for people: ISO 8601, local, to the second."""
    if at is None:
        return ""
    try:
        return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return f"{at:.0f}"


def shown_age(at: float | None) -> str:
    """Return how far a time is from now, for a table: ``5m ago``, ``in 2h``."""
    if at is None:
        return ""
    away = at - time.time()
    size, unit = next((size, unit) for size, unit in _UNITS if abs(away) >= size or size == 1)
    return f"in {away // size:.0f}{unit}" if away > 0 else f"{-away // size:.0f}{unit} ago"


def shown_data(data: msgspec.Raw) -> str:
    """Return a payload for people."""
    return bytes(data).decode(errors="replace")


def _unwritten(error: OSError) -> OSError:
    """Return an error that says whose it is, and let nothing more be written, which would fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    if isinstance(error, BrokenPipeError):
        return BrokenPipeError("nobody reads the output any more")
    return OSError(f"the output cannot be written: {error.strerror}")


def _whole(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {name: _whole(field) for name, field in msgspec.structs.asdict(value).items()}
    if isinstance(value, list | tuple):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    return value


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return clean(text.replace("\t", " ") if "\t" in text else text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", errors="backslashreplace").decode()


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Imported here, as that takes longer than most commands do.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=position == 0)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    Console().print(table)
