"""Behind PgBouncer in transaction mode, where no session belongs to anybody."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest

from distqueue import Queue
from distqueue.capabilities import WakeUp
from distqueue.opening import migrate_store, open_broker
from tests.servers.pgbouncer import pooling
from tests.servers.postgresql import Server


@pytest.fixture
def pooled(own_postgres: Server) -> Iterator[str]:
    """The URL of a store, by way of a pooler."""
    url = f"{own_postgres.url}?schema=pooled"
    migrate_store(url)
    with pooling(url) as pooled:
        yield pooled


@pytest.mark.parametrize("options", ["", "&listen=off"])
def test_many_clients_share_two_sessions(pooled: str, options: str) -> None:
    """Without ``listen=off`` it is noticed that there is a pooler."""
    count, clients = 60, 6

    def work(number: int) -> list[object]:
        with Queue(pooled + options, name=f"work{len(options)}") as queue:
            queue.put_many([f"{number}.{each}" for each in range(count // clients)])
            done = []
            while (delivery := queue.get(timeout=0.5)) is not None:
                done.append(delivery.data)
                delivery.ack()
            return done

    with ThreadPoolExecutor(clients) as threads:
        done = [data for each in threads.map(work, range(clients)) for data in each]
    assert sorted(map(str, done)) == sorted(
        f"{number}.{each}" for number in range(clients) for each in range(count // clients)
    )


def test_a_waiting_consumer_asks_again(pooled: str) -> None:
    with Queue(pooled) as putting, Queue(pooled) as getting, ThreadPoolExecutor(1) as thread:
        got = thread.submit(getting.get, timeout=30)
        putting.put("it")
        delivery = got.result(30)
        assert delivery is not None
        delivery.ack()
    broker = open_broker(pooled)
    assert broker.capabilities.wake_up is WakeUp.POLL
    broker.close()


def test_no_setting_is_left_in_a_session_of_others(pooled: str) -> None:
    parts = urlsplit(pooled)
    with Queue(pooled) as queue:
        queue.put(1, task_id="it")
        queue.put_many([1, 2, 3])
        with psycopg.connect(f"{parts.scheme}://{parts.netloc}{parts.path}", autocommit=True) as other:
            for _ in range(10):
                shown = other.execute("SELECT current_setting('lock_timeout')", prepare=False).fetchone()
                assert shown == ("0",)
