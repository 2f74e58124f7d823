"""About how many bytes a task takes in a file: counted along, so that nobody has to add it up."""

from __future__ import annotations

from typing import Final

import msgspec

from distqueue.limits import MAX_FAILURE_ERROR, MAX_FAILURES, MAX_TRACEBACK
from distqueue.task import DEFAULT_OPTIONS
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.where import payload_size

_MOST_OF_FAILURE: Final = MAX_FAILURE_ERROR + MAX_TRACEBACK


def size_of(entry: Entry) -> int:
    """Return the size of all that differs from task to task; the rest goes by the state."""
    size = payload_size(entry.where) + len(entry.task_id)
    if entry.error is not None:
        size += text_size(entry.error)
    options = entry.options
    if options is not DEFAULT_OPTIONS:
        size += text_size(options.group) + text_size(options.unique) + text_size(options.publisher_id)
        for name, value in (options.headers or {}).items():
            size += text_size(name) + text_size(value)
    return size


def most_of_record(entry: Entry) -> int:
    """Return about how many bytes a task's record takes in a listing, at the most."""
    return payload_size(entry.where) + min(entry.failures, MAX_FAILURES) * _MOST_OF_FAILURE


def text_size(text: str | None) -> int:
    """Return how many bytes a text takes in JSON."""
    if text is None:
        return 0
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return len(text)
    return len(msgspec.json.encode(text)) - 2
