"""What is kept of a task's failures goes with the task, however it ends."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from distqueue import Delivery, Queue


def got(queue: Queue) -> Delivery:
    delivery = queue.get(timeout=0)
    assert delivery is not None
    return delivery


def ack(queue: Queue) -> None:
    got(queue).ack()


def ack_after_release(queue: Queue) -> None:
    got(queue).release()
    got(queue).ack()


def ack_after_retry(queue: Queue) -> None:
    got(queue).retry(delay=0, error="once more")
    got(queue).ack()


def cancel(queue: Queue) -> None:
    queue.cancel("it")


def purge(queue: Queue) -> None:
    queue.purge()


@pytest.mark.parametrize("end", [ack, ack_after_release, ack_after_retry, cancel, purge])
def test_a_task_that_was_redriven_leaves_nothing_behind(
    url: str, other: psycopg.Connection, end: Callable[[Queue], None]
) -> None:
    with Queue(url) as queue:
        queue.put("mine", task_id="it")
        got(queue).reject("it fails", traceback="at the first line")
        queue.redrive("it")
        record = queue.find("it")
        assert record is not None
        assert (record.error, len(record.failures)) == ("it fails", 1)
        end(queue)
        assert queue.find("it") is None
    for table in ("failure", "last_error"):
        assert other.execute(f"SELECT * FROM {table}".encode()).fetchall() == []  # noqa: S608 - names of ours
