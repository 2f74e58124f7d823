"""Puts in a transaction of the application's, beyond what the suite sees."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.rows import dict_row

from distqueue import AsyncQueue, Queue
from distqueue.errors import (
    BatchRefused,
    InvalidTask,
    Refused,
    StoreBusy,
    StoreError,
    UniqueTaken,
    Unsupported,
)
from distqueue_backends.postgresql import bells
from tests.forking import in_child


def test_the_first_task_of_a_queue_keeps_nobody_else_waiting(url: str, other: psycopg.Connection) -> None:
    with Queue(url, name="new") as queue:
        queue.put("mine", connection=other)
        queue.put("yours")
        assert [delivery.data for delivery in queue.get_many(2, timeout=0)] == ["yours"]
        other.commit()
        assert [delivery.data for delivery in queue.get_many(2, timeout=0)] == ["mine"]


def test_rows_as_the_application_likes_them(url: str, other: psycopg.Connection) -> None:
    other.row_factory = dict_row  # type: ignore[assignment]
    with Queue(url) as queue:
        first = queue.put("mine", task_id="it", connection=other)
        assert not first.duplicate
        assert queue.put("mine", task_id="it", connection=other).duplicate
        other.commit()
        assert queue.find("it") is not None


def test_without_a_transaction_nothing_is_put(url: str, other: psycopg.Connection) -> None:
    other.rollback()
    other.autocommit = True
    with Queue(url) as queue:
        with pytest.raises(Unsupported, match="no transaction is open"):
            queue.put("mine", task_id="it", connection=other)
        with other.transaction():
            queue.put("mine", task_id="it", connection=other)
        assert queue.find("it") is not None
    other.autocommit = False


def test_a_connection_to_another_store_is_refused(
    url: str, other: psycopg.Connection, postgres_url: str
) -> None:
    with Queue(url) as queue, psycopg.connect(postgres_url, dbname="template1") as elsewhere:
        with pytest.raises(Unsupported, match="another database"):
            queue.put("mine", connection=elsewhere)
        assert queue.stats().ready == 0


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "READ COMMITTED"),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "READ COMMITTED"),
        ("SET LOCAL synchronous_commit = off", "synchronous_commit = on"),
        ("SET TRANSACTION READ ONLY", "may only read"),
        ("SELECT nothing_of_the_kind", "has failed; roll it back"),
    ],
)
def test_a_transaction_that_would_break_a_promise_is_refused(
    url: str, other: psycopg.Connection, statement: str, says: str
) -> None:
    try:
        other.execute(statement.encode())
    except psycopg.Error:
        assert says.startswith("has failed")
    with Queue(url) as queue:
        with pytest.raises(Unsupported, match=says):
            queue.put("mine", connection=other)
        other.rollback()
        queue.put("mine", connection=other)
        other.commit()
        assert queue.stats().ready == 1


def test_a_connection_in_pipeline_mode_is_refused(url: str, other: psycopg.Connection) -> None:
    with Queue(url) as queue:
        with other.pipeline():
            other.execute("SELECT 1")
            with pytest.raises(Unsupported, match="pipeline mode, nothing was put"):
                queue.put("mine", connection=other)
        queue.put("mine", connection=other)
        other.commit()
        assert queue.stats().ready == 1


def test_a_connection_that_is_closed_is_refused(url: str, postgres_url: str) -> None:
    connection = psycopg.connect(postgres_url)
    connection.close()
    with Queue(url) as queue, pytest.raises(StoreBusy, match="closed; nothing was put"):
        queue.put("mine", connection=connection)


def test_a_user_who_may_not_is_told_so(url: str, other: psycopg.Connection) -> None:
    other.execute("CREATE ROLE nobody_special")
    other.execute("SET LOCAL ROLE nobody_special")
    with Queue(url) as queue, pytest.raises(StoreError, match="permission denied"):
        queue.put("mine", connection=other)


def test_what_the_database_cannot_hold_is_refused_and_its_neighbours_are_not(
    url: str, other: psycopg.Connection
) -> None:
    with Queue(url) as queue:
        tasks = [queue.task(1), queue.task(2, publisher_id="\0"), queue.task(3)]
        with pytest.raises(BatchRefused) as refused:
            queue.put_many(tasks, connection=other)
        assert [isinstance(each, InvalidTask) for each in refused.value.outcomes] == [False, True, False]
        other.commit()
        assert queue.stats().ready == 2


def test_what_has_run_out_is_left_to_others_until_it_is_in_the_way(
    url: str, other: psycopg.Connection
) -> None:
    with Queue(url) as queue:
        queue.put("held", unique="key", expires_in=0.01)
        queue.put("lapsed", task_id="lapsed", priority=1)  # got first: what was got does not expire
        first = queue.get(timeout=0, lease=0.01)
        assert first is not None
        other.execute("SELECT pg_sleep(0.05)")
        queue.put("next", connection=other)  # nobody has to wait for its end to get the lapsed one
        again = queue.get(timeout=0)
        assert again is not None
        assert again.task_id == "lapsed"
        queue.put("new", task_id="new", unique="key", connection=other)
        with pytest.raises(UniqueTaken):
            queue.put("newer", unique="key", connection=other)
        other.commit()
        assert queue.find("new") is not None


def test_who_waits_is_woken_by_the_commit(
    url: str, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "SAFETY_POLL", 3600.0)
    with Queue(url) as queue, ThreadPoolExecutor(1) as waiting:
        queue.put("of before", task_id="before")
        delivery = queue.get()
        assert delivery is not None
        got = waiting.submit(queue.get)
        queue.put("rolled back", connection=other)
        other.rollback()
        queue.put("committed", connection=other)
        with pytest.raises(TimeoutError):
            got.result(0.2)
        other.commit()
        found = got.result(60)
        assert found is not None
        assert found.data == "committed"


def test_two_transactions_with_one_key_are_put_one_after_the_other(
    url: str, other: psycopg.Connection, postgres_url: str
) -> None:
    with Queue(url) as queue, psycopg.connect(postgres_url) as third, ThreadPoolExecutor(1) as waiting:
        queue.put("first", unique="key", connection=other)
        second = waiting.submit(queue.put, "second", unique="key", connection=third)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        other.commit()
        with pytest.raises(UniqueTaken):
            second.result(60)
        third.execute("SET lock_timeout = '50ms'")
        queue.put("third", unique="other key", connection=other)
        with pytest.raises((StoreBusy, Refused), match="another transaction"):
            queue.put("fourth", unique="other key", connection=third)
        third.commit()


@pytest.mark.asyncio
async def test_a_put_that_is_cancelled_leaves_the_transaction(
    url: str, other: psycopg.Connection, postgres_url: str
) -> None:
    connection = await psycopg.AsyncConnection.connect(postgres_url)
    async with connection, AsyncQueue(url) as queue:
        with Queue(url) as blocking:
            blocking.put("held", unique="key", connection=other)
        await queue.put("mine", connection=connection)
        waits = asyncio.ensure_future(queue.put("waits", unique="key", connection=connection))
        assert not (await asyncio.wait([waits], timeout=0.2))[0]
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        await connection.commit()
        assert [bytes(task.data) for task in await queue.peek(9)] == [b'"mine"']


def test_a_forked_child_puts_in_a_transaction_of_its_own(
    url: str, other: psycopg.Connection, postgres_url: str
) -> None:
    with Queue(url) as queue:

        def put() -> None:
            with psycopg.connect(postgres_url) as connection:
                queue.put("child", connection=connection)

        queue.put("parent", connection=other)
        in_child(put)
        queue.put("parent again", connection=other)
        other.commit()
        assert queue.stats().ready == 3
