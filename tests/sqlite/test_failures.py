"""The failed attempts of tasks have a table of their own, which a task that never fails does not touch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from distqueue import Queue
from distqueue.commands import Ack, Cancel, Claim, Command, Find, LoadTask, Put, Redrive, Reject, Retry
from distqueue.payload import encode
from distqueue.results import Claimed, Found, Outcome
from distqueue.task import TaskRecord
from distqueue_backends.sqlite.backend import SqliteBackend

FIXTURE: Final = Path(__file__).parent.parent / "fixtures" / "sqlite-version-1" / "queue.sql"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


class Store:
    """A store that tells which statements were carried out."""

    def __init__(self, path: Path) -> None:
        self.backend = SqliteBackend(str(path))
        self.statements: list[str] = []

    def do(self, *commands: Command) -> list[Outcome]:
        """Carry out commands, and note the statements of that alone."""
        assert self.backend._connection is not None
        connection = self.backend._connection.sql
        self.statements.clear()
        connection.set_trace_callback(self.statements.append)
        try:
            return self.backend.apply(commands)
        finally:
            connection.set_trace_callback(None)

    @property
    def touches_failures(self) -> bool:
        """Whether the table was asked anything."""
        return any("distqueue_failures" in statement for statement in self.statements)

    def receipt(self) -> str:
        """Claim the next task."""
        (claimed,) = self.do(Claim(queue="q", token="t"))  # noqa: S106 - no password
        assert isinstance(claimed, Claimed)
        return claimed.leases[0].receipt

    def found(self, task_id: str) -> TaskRecord:
        """Look a task up."""
        (found,) = self.do(Find(queue="q", task_id=task_id))
        assert isinstance(found, Found)
        assert found.task is not None
        return found.task


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.backend.close()


def put(task_id: str) -> Put:
    return Put.make("q", task_id, encode(task_id))


def test_a_task_that_never_fails_does_not_touch_the_table(store: Store) -> None:
    store.do(put("it"))
    assert not store.touches_failures
    receipt = store.receipt()
    assert not store.touches_failures
    store.do(Ack(queue="q", receipt=receipt))
    assert not store.touches_failures
    assert any("distqueue_tasks" in statement for statement in store.statements)


def test_a_task_that_goes_takes_its_failures_along(store: Store) -> None:
    store.do(put("acked"), put("cancelled"))
    store.do(Retry(queue="q", receipt=store.receipt(), delay=0.0, error="x"))
    store.do(Reject(queue="q", receipt=store.receipt(), error="y"))
    store.do(Redrive(queue="q"))
    assert [each.error for each in store.found("cancelled").failures] == ["y"]
    store.do(Cancel(queue="q", task_id="cancelled"))
    store.do(Ack(queue="q", receipt=store.receipt()))
    connection = store.backend._connection
    assert connection is not None
    assert connection.sql.execute("SELECT count(*) FROM distqueue_failures").fetchall() == [(0,)]


def test_failures_of_a_loaded_task_go_with_it_too(store: Store, tmp_path: Path) -> None:
    store.do(put("it"))
    store.do(Retry(queue="q", receipt=store.receipt(), delay=0.0, error="x"))
    record = store.found("it")
    other = Store(tmp_path / "other.db")
    other.do(LoadTask(queue="q", record=record))
    assert other.found("it") == record
    other.do(Ack(queue="q", receipt=other.receipt()))
    assert other.touches_failures
    other.backend.close()


def test_a_store_of_version_1_gets_the_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(FIXTURE.read_text("utf-8"))
    connection.close()
    with Queue(f"sqlite:///{path}", name="emails") as queue:
        dead = queue.find("dead")
        assert dead is not None
        assert (dead.error, dead.failures) == ("no route", ())
        delivery = queue.get()
        assert delivery is not None
        delivery.retry(delay=0, error="late", traceback="line 7")
        task = queue.find(delivery.task_id)
    assert task is not None
    assert [(each.error, each.traceback) for each in task.failures] == [("late", "line 7")]
