"""A task that is put in a transaction of the application's exists if and only if that commits."""

from __future__ import annotations

import importlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distqueue import Queue, StoreBusy, StoreMissing
from distqueue.errors import InvalidTask, PayloadMismatch, StoreFailed, UniqueTaken, Unsupported
from distqueue.supervisor import Supervisor
from distqueue.urls import parse_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """The application's own database and connection, as most have it."""
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.execute("CREATE TABLE orders (name TEXT)")
        connection.commit()
        yield connection


@pytest.fixture
def queue(path: Path, connection: sqlite3.Connection) -> Iterator[Queue]:
    with Queue(f"sqlite:///{path}", lock_timeout=2) as queue:
        queue.stats()
        yield queue


def orders(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    return count


def test_it_commits_and_rolls_back_with_the_application(queue: Queue, connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO orders VALUES ('first')")
    stored = queue.put({"order": "first"}, connection=connection)
    assert not stored.duplicate
    connection.rollback()
    assert queue.find(stored.task_id) is None
    assert orders(connection) == 0
    with connection:
        connection.execute("INSERT INTO orders VALUES ('second')")
        stored = queue.put({"order": "second"}, connection=connection)
    delivery = queue.get(timeout=0)
    assert delivery is not None
    assert delivery.task_id == stored.task_id
    delivery.ack()
    assert orders(connection) == 1


def test_nobody_sees_it_before_the_commit(path: Path, queue: Queue, connection: sqlite3.Connection) -> None:
    queue.put("x", connection=connection)
    script = (
        "import sys; from distqueue import Queue; print(Queue(sys.argv[1], lock_timeout=0.2).stats().ready)"
    )
    look = [sys.executable, "-c", script, f"sqlite:///{path}"]
    busy = subprocess.run(look, capture_output=True, text=True, timeout=60)
    assert "StoreBusy" in busy.stderr  # a transaction of the application's is open
    connection.commit()
    assert subprocess.run(look, capture_output=True, text=True, timeout=60, check=True).stdout == "1\n"


def test_every_option_and_order(queue: Queue, connection: sqlite3.Connection) -> None:
    with connection:
        queue.put("later", connection=connection, delay=3600, task_id="later")
        queue.put("low", connection=connection, task_id="low")
        queue.put("high", connection=connection, priority=9, task_id="high", headers={"a": "b"})
        many = queue.put_many(["c", queue.task("d", task_id="d")], connection=connection, group="g")
        assert [each.duplicate for each in many] == [False, False]
    assert [task.payload() for task in queue.peek(9)] == ["high", "low", "c", "d"]
    later = queue.find("later")
    assert later is not None
    assert later.state == "scheduled"


def test_what_is_refused_leaves_the_transaction_as_it_was(
    queue: Queue, connection: sqlite3.Connection
) -> None:
    queue.put("held", unique="key", task_id="first")
    connection.execute("INSERT INTO orders VALUES ('mine')")
    with pytest.raises(UniqueTaken):
        queue.put("second", unique="key", connection=connection)
    with pytest.raises(PayloadMismatch):
        queue.put("other", task_id="first", connection=connection)
    with pytest.raises(InvalidTask):
        queue.put("number", max_attempts=2**70, connection=connection)
    assert queue.put("held", task_id="first", connection=connection).duplicate
    queue.put("good", connection=connection)
    connection.commit()
    assert orders(connection) == 1
    assert [task.payload() for task in queue.peek(9)] == ["held", "good"]


def test_it_is_put_once_however_often_the_transaction_is_repeated(
    queue: Queue, connection: sqlite3.Connection
) -> None:
    for _ in range(3):
        with connection:
            queue.put("x", task_id="one", connection=connection)
    assert queue.stats().ready == 1


def test_rows_and_texts_of_another_kind(queue: Queue, connection: sqlite3.Connection) -> None:
    connection.row_factory = lambda cursor, row: {"row": row}
    connection.text_factory = bytes
    with connection:
        queue.put("x", task_id="one", unique="key", connection=connection)
        with pytest.raises(UniqueTaken, match="one"):
            queue.put("y", unique="key", connection=connection)
    assert connection.text_factory is bytes
    assert queue.stats().ready == 1


def test_the_first_put_of_all_makes_the_tables(path: Path, connection: sqlite3.Connection) -> None:
    with Queue(f"sqlite:///{path}") as queue:
        queue.put("rolled back", connection=connection)
        connection.rollback()
        with connection:
            queue.put("x", connection=connection)
        assert queue.stats().ready == 1


def test_without_a_transaction_it_is_refused(path: Path, queue: Queue) -> None:
    for modern in (None, True):
        own = (
            sqlite3.connect(path, isolation_level=None)
            if modern is None
            else sqlite3.connect(path, autocommit=modern)
        )
        with closing(own):
            with pytest.raises(Unsupported, match="BEGIN IMMEDIATE"):
                queue.put("x", connection=own)
            own.execute("BEGIN")
            queue.put("y", connection=own)
            own.execute("COMMIT")
    with closing(sqlite3.connect(path, autocommit=False)) as own:
        queue.put("z", connection=own)
        own.commit()
    assert queue.stats().ready == 3


def test_a_connection_that_does_not_sync_is_refused(queue: Queue, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
    with pytest.raises(Unsupported, match="synchronous=FULL"):
        queue.put("x", connection=connection)
    connection.execute("PRAGMA synchronous = FULL")
    queue.put("x", connection=connection)


@pytest.mark.parametrize("other", ["another.db", ":memory:"])
def test_a_connection_to_another_file_is_refused(other: str, path: Path, queue: Queue) -> None:
    place = other if other == ":memory:" else str(path.with_name(other))
    with closing(sqlite3.connect(place)) as own, pytest.raises(Unsupported, match="one file"):
        queue.put("x", connection=own)


def test_a_connection_of_another_library_is_refused(path: Path, queue: Queue) -> None:
    other: Any = importlib.import_module("pysqlite3.dbapi2")
    own = other.connect(":memory:")  # of the file itself, it would have dropped our locks by now
    with pytest.raises(Unsupported, match=r"pysqlite3\.dbapi2\.Connection"):
        queue.put("x", connection=own)
    with pytest.raises(Unsupported, match="SQLAlchemy"):
        queue.put("x", connection="a session")
    own.close()


def test_what_has_no_transactions_says_so(tmp_path: Path, connection: sqlite3.Connection) -> None:
    for url in (f"json:///{tmp_path}/Queue.json", f"memory://{tmp_path.name}"):
        with Queue(url) as queue:
            assert not queue.capabilities().transactional_enqueue
            with pytest.raises(Unsupported, match="connection="):
                queue.put("x", connection=connection)
            assert queue.stats().ready == 0


def test_there_is_no_store_at_the_path(tmp_path: Path, connection: sqlite3.Connection) -> None:
    with Queue(f"sqlite:///{tmp_path}/none.db") as queue, pytest.raises(StoreMissing):
        queue.put("x", connection=connection)
    assert not (tmp_path / "none.db").exists()


def test_a_snapshot_that_is_behind_is_busy_and_can_be_repeated(
    queue: Queue, connection: sqlite3.Connection
) -> None:
    connection.execute("BEGIN")
    assert orders(connection) == 0
    queue.put("somebody else's")
    with pytest.raises(StoreBusy, match="BEGIN IMMEDIATE"):
        queue.put("x", connection=connection)
    connection.rollback()
    with connection:
        queue.put("x", connection=connection)
    assert queue.stats().ready == 2


WAITER = """
import sys
from distqueue import Queue
with Queue(sys.argv[1]) as queue:
    queue.get(timeout=0)
    print("waiting", flush=True)
    with queue.get(timeout=60) as delivery:
        print(delivery.data, flush=True)
"""


@pytest.mark.parametrize("is_served", [False, True], ids=["direct", "served"])
def test_a_waiting_consumer_wakes_up(is_served: bool, path: Path, connection: sqlite3.Connection) -> None:
    url = f"sqlite:///{path}"
    with Queue(url) as first:
        first.stats()
    supervisor = Supervisor(parse_url(url), {})
    if is_served:
        supervisor.start()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", WAITER, url], stdout=subprocess.PIPE, text=True
        ) as waiter:
            assert waiter.stdout is not None
            assert waiter.stdout.readline() == "waiting\n"
            with Queue(url) as queue, connection:
                queue.put("hello", connection=connection)
            assert waiter.stdout.readline() == "hello\n"
    finally:
        supervisor.stop()


KILLED = """
import os, signal, sqlite3, sys
from distqueue import Queue
connection = sqlite3.connect(sys.argv[1])
queue = Queue("sqlite:///" + sys.argv[1])
number = 0
while True:
    with connection:
        connection.execute("INSERT INTO orders VALUES (?)", (str(number),))
        queue.put(number, task_id=str(number), connection=connection)
        if number % 3 == 2:
            connection.rollback()
    print(number, flush=True)
    number += 1
"""


def test_a_kill_leaves_both_or_neither(path: Path, connection: sqlite3.Connection) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        for _ in range(40):
            killed.stdout.readline()
        killed.kill()
        killed.communicate()
    names = {name for (name,) in connection.execute("SELECT name FROM orders")}
    assert len(names) > 20
    with Queue(f"sqlite:///{path}") as queue:
        assert {task.task_id for task in queue.peek(10_000)} == names
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_cannot_be_used_says_why(path: Path, queue: Queue, connection: sqlite3.Connection) -> None:
    closed = sqlite3.connect(path)
    closed.close()
    with pytest.raises(Unsupported, match="closed"):
        queue.put("x", connection=closed)
    reading = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with closing(reading), pytest.raises(Unsupported, match="read"):
        queue.put("x", connection=reading)
    with ThreadPoolExecutor(1) as pool, pytest.raises(Unsupported, match="thread"):
        pool.submit(queue.put, "x", connection=connection).result()
    assert queue.stats().ready == 0


def test_a_batch_that_fails_in_the_middle_leaves_nothing_of_it(
    queue: Queue, connection: sqlite3.Connection
) -> None:
    connection.execute(
        "CREATE TRIGGER no BEFORE INSERT ON distqueue_tasks WHEN NEW.id = 'bad'"
        " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    )
    with connection:
        connection.execute("INSERT INTO orders VALUES ('mine')")
        tasks = [queue.task(n, task_id=name, priority=n) for n, name in enumerate(("good", "bad"))]
        with pytest.raises(StoreFailed, match="not this one"):
            queue.put_many(tasks, connection=connection)
        queue.put("after", task_id="after", connection=connection)
    assert orders(connection) == 1
    assert [task.task_id for task in queue.peek(9)] == ["after"]
