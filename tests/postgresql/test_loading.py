"""Loading what somebody else is just putting, or has just done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psycopg
import pytest

from distqueue.broker import Broker
from distqueue.commands import Find, Load, Put, Remembered
from distqueue.opening import open_broker
from distqueue.results import Browsed, Found, Loaded
from distqueue.task import RememberedTask, TaskRecord, TaskState
from distqueue_backends.postgresql.writing import arrays
from tests.broker.conftest import wait_until

WAITERS = """
    SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
"""

TASK = TaskRecord(
    task_id="it", queue="work", state=TaskState.READY, data=msgspec.Raw(b"1"), number=1, place=1, put_at=1.0
)
MEMORY = RememberedTask(task_id="it", queue="work", at=1e9, checksum=0, settled="ack", receipt="1.t.it")


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    broker = open_broker(url)
    broker.apply([Put.make("work", "first", b"1")])  # the queue is there
    yield broker
    broker.close()


def put(other: psycopg.Connection) -> None:
    statement, columns = arrays([Put.make("work", "it", b"1", priority=1)])
    other.execute(statement.replace("{}.", ""), ("work", ["none"], 300.0, False, *columns))


def put_and_done(other: psycopg.Connection) -> None:
    put(other)
    other.execute("SELECT claim('work', 1, 30, 'token', 1000000, NULL::smallint, NULL)")
    assert other.execute("SELECT ack('work', 300, '{it}', '{token}', '{1}')").fetchall() == []


@pytest.mark.parametrize("record", [TASK, MEMORY])
@pytest.mark.parametrize(("do", "is_there"), [(put, True), (put_and_done, False)])
def test_what_is_there_by_then_is_not_loaded(
    broker: Broker,
    other: psycopg.Connection,
    record: TaskRecord | RememberedTask,
    do: Callable[[psycopg.Connection], None],
    is_there: bool,
) -> None:
    do(other)
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(broker.apply, [Load.of(record)])
        wait_until(lambda: other.execute(WAITERS).fetchone() != (0,), "the load to wait for the put")
        other.commit()
        assert loading.result(60) == [Loaded(task_id="it", duplicate=True)]
    found, remembered = broker.apply([Find(queue="work", task_id="it"), Remembered(queue="work")])
    assert isinstance(found, Found)
    assert isinstance(remembered, Browsed)
    assert (found.task is not None, len(remembered.remembered)) == (is_there, not is_there)
