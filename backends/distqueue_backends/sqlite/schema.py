"""The tables of a SQLite store, and how an older store becomes a newer one.

``docs/formats/sqlite.md`` explains them to whoever reads the file by other means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from sqlite_utils import Database

from distqueue.errors import StoreError, UnsupportedFormat

APPLICATION_ID: Final = 0x64717565  # "dque"

_FIRST: Final = """
CREATE TABLE queues (
    queue INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    next_number INTEGER NOT NULL,
    last_number INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    next_gone INTEGER NOT NULL,
    remembered INTEGER NOT NULL
);
CREATE TABLE tasks (
    queue INTEGER NOT NULL REFERENCES queues,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('scheduled', 'ready', 'leased', 'done', 'dead')),
    priority INTEGER NOT NULL,
    place INTEGER,
    line INTEGER,
    until REAL,
    put_at REAL NOT NULL,
    failures INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    token TEXT,
    settled TEXT,
    error TEXT,
    max_attempts INTEGER,
    expires_in REAL,
    expires_at REAL,
    keep_done REAL NOT NULL,
    group_name TEXT,
    unique_key TEXT,
    publisher_id TEXT,
    headers TEXT,
    payload_crc INTEGER NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (queue, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX tasks_by_id ON tasks (queue, id);
CREATE INDEX tasks_in_line ON tasks (queue, priority DESC, line, number) WHERE line IS NOT NULL;
CREATE INDEX tasks_by_time ON tasks (queue, state, until, number) WHERE until IS NOT NULL;
CREATE INDEX tasks_expiring ON tasks (queue, expires_at, number) WHERE expires_at IS NOT NULL;
CREATE INDEX tasks_dead ON tasks (queue, number) WHERE state = 'dead';
CREATE INDEX tasks_in_groups ON tasks (queue, group_name, number)
    WHERE group_name IS NOT NULL AND state NOT IN ('done', 'dead');
CREATE UNIQUE INDEX tasks_unique ON tasks (queue, unique_key)
    WHERE unique_key IS NOT NULL AND state NOT IN ('done', 'dead');
CREATE TABLE gone (
    queue INTEGER NOT NULL REFERENCES queues,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    at REAL NOT NULL,
    payload_crc INTEGER NOT NULL,
    settled TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    token TEXT,
    PRIMARY KEY (queue, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX gone_by_id ON gone (queue, id);
CREATE VIEW readable AS
    SELECT name AS queue, number, id, state, priority, put_at, until, failures, deliveries, error,
        CAST(data AS TEXT) AS data
    FROM tasks JOIN queues USING (queue);
"""

MIGRATIONS: Final[Sequence[str]] = (_FIRST,)
"""What makes each version out of the one before; the first one out of an empty file."""


def bring_up_to_date(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables, or those that are new since the store was written. A transaction is open.

    Raises:
        StoreError: the database is somebody else's.
        UnsupportedFormat: a newer release has written it.
    """
    database = Database(connection, execute_plugins=False)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    owner = database.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or database.table_names()):
        raise StoreError(
            f"{path} is a database of something else; give the queue a file of its own, or keep both in one "
            "by naming a new file and attaching that"
        )
    if version > len(MIGRATIONS):
        raise UnsupportedFormat(
            f"{path} has version {version} of the tables, this release knows {len(MIGRATIONS)}; "
            "upgrade distqueue"
        )
    for migration in MIGRATIONS[version:]:
        for statement in migration.split(";\n"):
            if statement.strip():
                database.execute(statement)
    if version < len(MIGRATIONS):
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
