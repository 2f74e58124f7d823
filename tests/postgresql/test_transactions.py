"""Puts in a transaction of the application's, beyond what the suite sees."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.rows import dict_row

from distqueue import Queue
from distqueue.errors import Unsupported


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
