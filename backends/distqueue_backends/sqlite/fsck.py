"""Examining a database: SQLite's own check, the tables and indexes that have to be there, each payload."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from sqlite_utils import Database

from distqueue.backend import Fsck
from distqueue.errors import StoreMissing
from distqueue.payload import checksum
from distqueue_backends.sqlite import driver
from distqueue_backends.sqlite.options import SqliteOptions
from distqueue_backends.sqlite.schema import MIGRATIONS, carry_out, read_version

_MOST: Final = 100
"""So many findings are reported."""
_REMEDY: Final = "restore a copy, or save what can be read with `sqlite3 … .recover`"


def check(path: str, options: SqliteOptions, *, repair: bool) -> Fsck:
    """Tell what is wrong with a database; with ``repair``, make its indexes anew. The lock is held.

    Raises:
        StoreMissing: the database has no tables of ours.
        UnsupportedFormat, StoreDamaged: the version of the tables is not one that is known.
    """
    module = driver.load(options.driver)
    file = driver.enter(path, module)
    try:
        with closing(module.connect(path, timeout=options.lock_timeout, isolation_level=None)) as sql:
            return _check(sql, path, repair=repair)
    except module.DatabaseError as error:
        return Fsck(is_sound=False, findings=[f"{path} cannot be read: {error}; {_REMEDY}"])
    finally:
        driver.leave(file, module)


def _check(sql: Any, path: str, *, repair: bool) -> Fsck:
    sql.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    sql.execute("BEGIN IMMEDIATE")
    if not read_version(sql, path):
        raise StoreMissing(f"no store in {path}: the database has no tables of distqueue")
    findings = remaining = _faults(sql)
    if repair and findings:
        for statement in _missing(sql, "index", "view").values():
            sql.execute(statement)
        sql.execute("REINDEX")
        remaining = _faults(sql)
        findings = findings + [f"still there: {fault}; {_REMEDY}" for fault in remaining]
    sql.execute("COMMIT")
    return Fsck(is_sound=not remaining, findings=findings[:_MOST])


def _faults(sql: Any) -> list[str]:
    if missing := _missing(sql, "table"):
        return [f"table {name} is missing" for name in missing]
    return [*_found_by_us(sql), *_found_by_sqlite(sql)]


def _missing(sql: Any, *kinds: str) -> dict[str, str]:
    """Return what is not there of what has to be, and the statement that makes it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        wanted = Database(new, recursive_triggers=False, execute_plugins=False)
        for migration in MIGRATIONS:
            carry_out(wanted, migration)
        rows = wanted.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    there = {name for (name,) in sql.execute("SELECT name FROM sqlite_master").fetchall()}
    return {name: statement for kind, name, statement in rows if kind in kinds and name not in there}


def _found_by_sqlite(sql: Any) -> Iterator[str]:
    for (fault,) in sql.execute(f"PRAGMA integrity_check({_MOST})").fetchall():
        if fault != "ok":
            yield f"SQLite finds: {fault}"


def _found_by_us(sql: Any) -> Iterator[str]:
    for name in _missing(sql, "index", "view"):
        yield f"{name} is missing"
    queues = "SELECT queue FROM distqueue_queues"
    for table in ("distqueue_tasks", "distqueue_gone", "distqueue_failures"):
        for (task_id,) in sql.execute(f"SELECT id FROM {table} WHERE queue NOT IN ({queues})"):
            yield f"{task_id} in {table} is of a queue that is not there"
    for task_id, crc, data in sql.execute("SELECT id, payload_crc, data FROM distqueue_tasks"):
        if checksum(data) != crc:
            yield f"the payload of task {task_id} is not the one that was put"
