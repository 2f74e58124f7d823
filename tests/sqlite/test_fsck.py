"""Examining a database, and making its indexes anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from distqueue import Queue, StoreMissing
from distqueue.opening import examine_store
from tests.sqlite.test_sqlite import shell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "queue.db"
    with Queue(f"sqlite:///{path}") as queue:
        queue.put_many(range(2000))
    return path


def test_a_sound_database(path: Path) -> None:
    with Queue(f"sqlite:///{path}") as queue:
        report = examine_store(f"sqlite:///{path}")
        assert queue.stats().ready == 2000
    assert report.is_sound
    assert report.findings == []


def test_what_is_missing_is_made_anew(path: Path) -> None:
    shell(path, "DROP INDEX distqueue_tasks_in_line", "DROP VIEW distqueue_readable")
    report = examine_store(f"sqlite:///{path}")
    assert not report.is_sound
    assert report.findings == ["distqueue_tasks_in_line is missing", "distqueue_readable is missing"]
    repaired = examine_store(f"sqlite:///{path}", repair=True)
    assert repaired.is_sound
    assert repaired.findings == report.findings
    assert examine_store(f"sqlite:///{path}").findings == []


def test_an_index_with_other_rows_is_made_anew(path: Path) -> None:
    statement = "UPDATE sqlite_master SET sql = replace(sql, '{}', '{}') WHERE name = 'distqueue_tasks_dead'"
    dead, ready = "state = ''dead''", "state = ''ready''"
    shell(path, "PRAGMA writable_schema = ON", statement.format(dead, ready))
    shell(path, "REINDEX")
    shell(path, "PRAGMA writable_schema = ON", statement.format(ready, dead))
    report = examine_store(f"sqlite:///{path}")
    assert any("SQLite finds" in finding and "distqueue_tasks_dead" in finding for finding in report.findings)
    assert examine_store(f"sqlite:///{path}", repair=True).is_sound
    assert examine_store(f"sqlite:///{path}").findings == []


def test_a_payload_that_is_another_one_is_found_and_not_repaired(path: Path) -> None:
    shell(path, "UPDATE distqueue_tasks SET data = CAST('\"another\"' AS BLOB) WHERE key & 4095 = 17")
    report = examine_store(f"sqlite:///{path}")
    assert not report.is_sound
    assert len(report.findings) == 1
    assert not examine_store(f"sqlite:///{path}", repair=True).is_sound


def test_pages_of_garbage_are_found(path: Path) -> None:
    shell(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    path.write_bytes(whole[:40_960] + b"\xa5" * 8192 + whole[49_152:])
    report = examine_store(f"sqlite:///{path}")
    assert not report.is_sound
    assert report.findings
    assert not examine_store(f"sqlite:///{path}", repair=True).is_sound


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        examine_store(f"sqlite:///{tmp_path}/none.db")
    shell(tmp_path / "app.db", "CREATE TABLE t (x)")
    with pytest.raises(StoreMissing, match="no tables"):
        examine_store(f"sqlite:///{tmp_path}/app.db")
