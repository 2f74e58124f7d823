"""The verbs that put tasks: commands to arrays, and answers to outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

import msgspec

from distqueue.commands import Put
from distqueue.limits import MAX_PRIORITY
from distqueue.results import Outcome, Stored
from distqueue.task import DEFAULT_OPTIONS
from distqueue_backends.postgresql.refusals import fenced, not_stored
from distqueue_backends.postgresql.session import Execute

PUT: Final = (
    "SELECT * FROM {}.put(%s, %s::text[], %s::float8, %s::bool, %b::text[], %b::int8[], %b::bytea[], "
    "%b::int2[], %b::float8[], %b::float8[], %b::int8[], %b::float8[], %b::float8[], %b::text[], %b::text[])"
)
PUT_SPECIAL: Final = (
    "SELECT * FROM {}.put_special(%s, %s::text[], %s::float8, %s::bool, %b::text[], %b::int8[], %b::bytea[], "
    "%b::int2[], %b::float8[], %b::float8[], %b::int8[], %b::float8[], %b::float8[], %b::text[], %b::text[], "
    "%b::text[], %b::text[])"
)

_NOTHING: Final = [None] * 8


def by_queue[C: Any](commands: Sequence[C]) -> dict[str, list[int]]:
    """Return the positions of the commands of each queue."""
    found: dict[str, list[int]] = defaultdict(list)
    for position, command in enumerate(commands):
        found[command.queue].append(position)
    return found


def put_into(
    execute: Execute,
    queue: str,
    puts: Sequence[Put],
    levels: Sequence[str],
    window: float,
) -> list[Outcome]:
    """Put tasks into a queue, which a fence of the given levels allows."""
    statement, columns = arrays(puts)
    return answers(queue, puts, execute(statement, (queue, list(levels), window, True, *columns)))


def answers(queue: str, puts: Sequence[Put], rows: Sequence[Any]) -> list[Outcome]:
    """Return the outcomes of puts into a queue; ``rows`` tell of those that were not stored."""
    outcomes: list[Outcome] = [Stored(task_id=put.task_id) for put in puts]
    for at, code, detail, more in rows:
        if code == "fence":
            return [fenced(queue, detail, more) for _ in puts]
        outcomes[at - 1] = not_stored(puts[at - 1], code, detail, more)
    return outcomes


def put_by_queue(
    execute: Execute,
    puts: Sequence[Put],
    levels: Sequence[str],
    window: float,
) -> list[Outcome]:
    """Put tasks into their queues, those of one queue together."""
    outcomes: list[Any] = [None] * len(puts)
    for queue, positions in by_queue(puts).items():
        chosen = [puts[position] for position in positions]
        for position, outcome in zip(positions, put_into(execute, queue, chosen, levels, window)):
            outcomes[position] = outcome
    return outcomes


def arrays(puts: Sequence[Put]) -> tuple[str, list[Any]]:
    """Return the statement that puts tasks, and a column of its arguments for each option."""
    ids = [put.task_id for put in puts]
    crcs = [crc32(put.data) for put in puts]
    data = [bytes(put.data) for put in puts]
    if all(put.options is DEFAULT_OPTIONS and put.due is None and put.delay is None for put in puts):
        return PUT, [ids, crcs, data, *_NOTHING]
    options = [put.options for put in puts]
    columns: list[Any] = [
        [MAX_PRIORITY - each.priority for each in options],
        _seconds([put.due for put in puts]),
        _seconds([put.delay for put in puts]),
        [each.max_attempts or 0 for each in options],
        _seconds([each.expires_in for each in options]),
        [float(each.keep_done) for each in options],
        _column([each.publisher_id for each in options]),
        _column([headers_text(each.headers) for each in options]),
    ]
    groups, keys = [each.group for each in options], [each.unique for each in options]
    if any(groups) or any(keys):
        return PUT_SPECIAL, [ids, crcs, data, *columns, _column(groups), _column(keys)]
    return PUT, [ids, crcs, data, *columns]


def headers_text(headers: dict[str, str] | None) -> str | None:
    """Return headers as JSON, which holds any character without one that a text of PostgreSQL cannot."""
    return None if headers is None else msgspec.json.encode(headers).decode()


def _column(values: list[Any]) -> list[Any] | None:
    """Return ``None`` for a column that holds nothing else."""
    return values if any(value is not None for value in values) else None


def _seconds(values: list[float | None]) -> list[float | None] | None:
    return _column([None if value is None else float(value) for value in values])
