"""The tables of a SQLite store, and how an older store becomes a newer one.

They stand beside the application's own tables, if it likes, so each name begins with ``distqueue_``.
``docs/formats/sqlite.md`` explains them to whoever reads the file by other means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlite_utils import Database

from distqueue.errors import StoreDamaged, StoreMissing, UnsupportedFormat
from distqueue_backends.sqlite.statements import Statements

NUMBER_BITS: Final = 44
"""A row's key is the number of its queue and, in so many bits, that of the task: so queues lie in order."""
MOST_NUMBER: Final = (1 << NUMBER_BITS) - 1

_FIRST: Final = f"""
CREATE TABLE distqueue_store (version INTEGER NOT NULL);
INSERT INTO distqueue_store VALUES (1);
CREATE TABLE distqueue_queues (
    queue INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    next_number INTEGER NOT NULL DEFAULT 1,
    paused INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    next_at REAL,
    fence TEXT NOT NULL DEFAULT 'none'
        CHECK (fence IN ('none', 'draining', 'frozen', 'moved', 'filling')),
    note TEXT NOT NULL DEFAULT ''
);
CREATE TABLE distqueue_tasks (
    key INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL REFERENCES distqueue_queues,
    id TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('scheduled', 'ready', 'leased', 'done', 'dead')),
    priority INTEGER NOT NULL DEFAULT 0,
    place INTEGER,
    line INTEGER,
    until REAL,
    put_at REAL NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    deliveries INTEGER NOT NULL DEFAULT 0,
    token TEXT,
    settled TEXT,
    error TEXT,
    max_attempts INTEGER DEFAULT 5,
    expires_in REAL,
    expires_at REAL,
    keep_done REAL NOT NULL DEFAULT 0,
    group_name TEXT,
    unique_key TEXT,
    publisher_id TEXT,
    headers TEXT,
    payload_crc INTEGER NOT NULL,
    data BLOB NOT NULL CHECK (typeof(data) = 'blob')
);
CREATE UNIQUE INDEX distqueue_tasks_by_id ON distqueue_tasks (queue, id);
CREATE INDEX distqueue_tasks_in_line ON distqueue_tasks (queue, priority DESC, line) WHERE line IS NOT NULL;
CREATE INDEX distqueue_tasks_by_time ON distqueue_tasks (queue, state, until) WHERE until IS NOT NULL;
CREATE INDEX distqueue_tasks_expiring ON distqueue_tasks (queue, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX distqueue_tasks_dead ON distqueue_tasks (queue) WHERE state = 'dead';
CREATE INDEX distqueue_tasks_in_groups ON distqueue_tasks (queue, group_name)
    WHERE group_name IS NOT NULL AND state NOT IN ('done', 'dead');
CREATE UNIQUE INDEX distqueue_tasks_unique ON distqueue_tasks (queue, unique_key)
    WHERE unique_key IS NOT NULL AND state NOT IN ('done', 'dead');
CREATE TABLE distqueue_gone (
    key INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL REFERENCES distqueue_queues,
    id TEXT NOT NULL,
    at REAL NOT NULL,
    payload_crc INTEGER NOT NULL,
    settled TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    token TEXT
);
CREATE UNIQUE INDEX distqueue_gone_by_id ON distqueue_gone (queue, id);
CREATE VIEW distqueue_readable AS
    SELECT name AS queue, key & {MOST_NUMBER} AS number, id, state, priority, put_at, until, failures,
        deliveries, error, CAST(data AS TEXT) AS data
    FROM distqueue_tasks JOIN distqueue_queues USING (queue);
"""

_FAILURES: Final = """
CREATE TABLE distqueue_failures (
    key INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL REFERENCES distqueue_queues,
    id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at REAL NOT NULL,
    verb TEXT NOT NULL CHECK (verb IN ('retry', 'reject', 'lapse')),
    error TEXT,
    traceback TEXT
);
CREATE INDEX distqueue_failures_by_task ON distqueue_failures (queue, id);
"""

MIGRATIONS: Final[Sequence[str]] = (_FIRST, _FAILURES)
"""What makes each version out of the one before; the first one out of a file without our tables."""


def bring_up_to_date(statements: Statements, connection: Any, path: str, *, create: bool) -> None:
    """Make the tables, or those that are new since the store was written. A transaction is open.

    ``statements`` reads through ``connection``, with rows that are tuples.

    Raises:
        StoreMissing: there are none, and ``create`` is false.
        UnsupportedFormat: a newer release has written them.
        StoreDamaged: the version is missing.
    """
    version = read_version(statements, path)
    if version == len(MIGRATIONS):
        return
    if not version and not create:
        raise StoreMissing(f"no store in {path}: the database has no tables of distqueue; nothing was stored")
    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    for migration in MIGRATIONS[version:]:
        carry_out(database, migration)
    database.execute("UPDATE distqueue_store SET version = ?", (len(MIGRATIONS),))


def read_version(statements: Statements, path: str) -> int:
    """Return the version of the tables, 0 if there are none.

    Raises:
        UnsupportedFormat: a newer release has written them.
        StoreDamaged: it is missing.
    """
    if not statements.execute("SELECT 1 FROM sqlite_master WHERE name = 'distqueue_store'").fetchone():
        return 0
    row = statements.execute("SELECT version FROM distqueue_store").fetchone()
    if row is None or not isinstance(row[0], int) or row[0] < 1:
        raise StoreDamaged(f"{path} does not say which version its tables have; restore a copy")
    if row[0] > len(MIGRATIONS):
        raise UnsupportedFormat(
            f"{path} has version {row[0]} of the tables, this release knows {len(MIGRATIONS)}; "
            "upgrade distqueue"
        )
    return row[0]


def carry_out(database: Database, migration: str) -> None:
    """Carry out the statements of a migration one by one, so that they stay in the transaction."""
    for statement in migration.split(";\n"):
        if statement.strip():
            database.execute(statement)
