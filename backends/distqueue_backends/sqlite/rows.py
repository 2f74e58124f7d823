"""Tasks as rows: every statement on the hot path, and how a row becomes an entry and back."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from distqueue.task import DEFAULT_OPTIONS, TaskOptions
from distqueue_backends.sqlite.schema import MOST_NUMBER
from distqueue_backends.table.entry import LEASED, STATES, Entry
from distqueue_backends.table.where import pack

type Row = tuple[Any, ...]

_STATE_NAMES: Final = [state.value for state in STATES]
_STATES: Final = {name: number for number, name in enumerate(_STATE_NAMES)}

_FIELDS: Final = (
    "id, payload_crc, put_at, state, place, until, failures, deliveries, token, settled, error,"
    " priority, max_attempts, expires_in, keep_done, group_name, unique_key, publisher_id, headers"
)
SELECT: Final = f"SELECT key, length(data), {_FIELDS} FROM distqueue_tasks "
SELECT_WITH_DATA: Final = f"SELECT key, data, {_FIELDS} FROM distqueue_tasks "
INSERT: Final = (
    f"INSERT INTO distqueue_tasks (key, data, {_FIELDS}, queue, line, expires_at)"
    f" VALUES ({', '.join('?' * (_FIELDS.count(',') + 6))})"
)
INSERT_PLAIN: Final = (
    "INSERT INTO distqueue_tasks (key, queue, id, place, line, put_at, payload_crc, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
UPDATE: Final = (
    "UPDATE distqueue_tasks SET key = ?, state = ?, place = ?, line = ?, until = ?, failures = ?,"
    " deliveries = ?, token = ?, settled = ?, error = ?, expires_at = ? WHERE key = ?"
)
LEASE: Final = (
    "UPDATE distqueue_tasks SET state = 'leased', line = NULL, until = ?, deliveries = deliveries + 1,"
    " token = ?, settled = NULL, expires_at = NULL WHERE key = ?"
)
DELETE: Final = "DELETE FROM distqueue_tasks WHERE key = ?"


def entry_from(row: Row) -> Entry:
    """Return the entry of a selected row; ``where`` is its payload, or its key's number and the size."""
    plain = row[13:] == _PLAIN
    options = DEFAULT_OPTIONS if plain else _options(*row[13:])
    number, data = row[0] & MOST_NUMBER, row[1]
    where = data if isinstance(data, bytes) else pack(number, data)
    return Entry(row[2], number, where, row[3], row[4], options, _STATES[row[5]], *row[6:13])


def inserted(entry: Entry, data: bytes, queue: int, key: int, line: int | None) -> Row:
    """Return what is inserted for a new task."""
    options = entry.options
    return (
        key,
        data,
        entry.task_id,
        entry.checksum,
        entry.put_at,
        _STATE_NAMES[entry.state],
        entry.place,
        entry.until,
        entry.failures,
        entry.deliveries,
        entry.token,
        entry.settled,
        entry.error,
        options.priority,
        options.max_attempts,
        options.expires_in,
        options.keep_done,
        options.group,
        options.unique,
        options.publisher_id,
        None if options.headers is None else msgspec.json.encode(options.headers).decode(),
        queue,
        line,
        expires_at(entry),
    )


def updated(entry: Entry, key: int, old_key: int, line: int | None) -> Row:
    """Return what is updated of a task that had the key ``old_key``."""
    return (
        key,
        _STATE_NAMES[entry.state],
        entry.place,
        line,
        entry.until,
        entry.failures,
        entry.deliveries,
        entry.token,
        entry.settled,
        entry.error,
        expires_at(entry),
        old_key,
    )


def expires_at(entry: Entry) -> float | None:
    """Return when a task expires that still can: one that was claimed cannot."""
    return entry.expires_at if entry.state <= LEASED and not entry.deliveries else None


def _options(
    priority: int,
    max_attempts: int | None,
    expires_in: float | None,
    keep_done: float,
    group: str | None,
    unique: str | None,
    publisher_id: str | None,
    headers: str | None,
) -> TaskOptions:
    decoded = None if headers is None else msgspec.json.decode(headers, type=dict[str, str])
    return TaskOptions(priority, max_attempts, expires_in, keep_done, group, unique, publisher_id, decoded)


_PLAIN: Final = (
    DEFAULT_OPTIONS.priority,
    DEFAULT_OPTIONS.max_attempts,
    DEFAULT_OPTIONS.expires_in,
    DEFAULT_OPTIONS.keep_done,
    DEFAULT_OPTIONS.group,
    DEFAULT_OPTIONS.unique,
    DEFAULT_OPTIONS.publisher_id,
    DEFAULT_OPTIONS.headers,
)
