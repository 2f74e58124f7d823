"""Many tasks through a short queue: the tables stay as small as the queue, also beside an old transaction.

By default some; ``DISTQUEUE_POSTGRES_CHURN=2000000`` makes it an hour's worth, with
``pytest --timeout 3000``.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from distqueue import Queue
from distqueue.opening import migrate_store
from tests.servers.chosen import postgres_programs
from tests.servers.postgresql import Server, serving

pytestmark = pytest.mark.slow

CHURN = int(os.environ.get("DISTQUEUE_POSTGRES_CHURN", "40000"))
BATCH = 500
DEPTH = 1000
SLACK = 4 * 2**20
"""By how much the tables may differ from time to time, in bytes: it depends on when a vacuum comes by."""
LEFT = 3000
"""How many dead rows of a table a vacuum that runs by itself may leave where they are."""

OF_TASKS = ("expiring", "held", "grp", "member", "failure", "last_error")
"""The tables of what belongs to tasks."""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(postgres_programs(), settings={"autovacuum_naptime": "1s"}) as server:
        yield server


@pytest.fixture
def admin(server: Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.url, autocommit=True) as admin:
        yield admin


def size(admin: psycopg.Connection) -> int:
    """Return how many bytes the tables have, with their indexes."""
    found = admin.execute(
        "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_stat_user_tables "
        "WHERE schemaname = 'distqueue'"
    ).fetchone()
    assert found is not None
    return int(found[0])


def vacuumed(admin: psycopg.Connection) -> None:
    """Wait until a vacuum has come by: a fast machine is done before the first, and would measure that."""
    while True:
        found = admin.execute(
            "SELECT max(n_dead_tup) FROM pg_stat_user_tables WHERE schemaname = 'distqueue'"
        ).fetchone()
        assert found is not None
        if found[0] < LEFT:
            return
        time.sleep(0.1)


def plain(queue: Queue, count: int) -> None:
    """Let so many tasks go through the queue."""
    for _ in range(count // BATCH):
        queue.put_many(["x" * 200] * BATCH)
        queue.ack_many(queue.get_many(BATCH, timeout=0))


def mixed(queue: Queue, count: int) -> None:
    """The same, in groups, with delays, keys and expiry, and with failures."""
    chance = random.Random(count)
    done = 0
    while done < count:
        for _ in range(4):
            queue.put_many(["x" * 200] * 40, group=f"g{chance.randrange(50)}")
            queue.put_many(["x" * 200] * 40, delay=chance.random() / 5, expires_in=600, priority=3)
            queue.put("x", unique=f"u{done}{chance.random()}")
        while deliveries := queue.get_many(BATCH, timeout=0):
            again = [each for each in deliveries if chance.random() < 0.1]
            for delivery in again:
                delivery.retry(delay=chance.random() / 5, error="no")
            queue.ack_many([each for each in deliveries if each not in again])
            done += len(deliveries) - len(again)


@pytest.mark.parametrize(("churn", "count"), [(plain, CHURN // 4), (mixed, CHURN // 32)])
def test_the_tables_stay_small(
    admin: psycopg.Connection, server: Server, churn: Callable[[Queue, int], None], count: int
) -> None:
    def quarter() -> int:
        # What a session has counted is known to the server when the session ends.
        with Queue(server.url, dedup_max=2 * DEPTH, max_attempts=None) as queue:
            churn(queue, count)
        return size(admin)

    migrate_store(server.url)
    with Queue(server.url, dedup_max=2 * DEPTH) as queue:
        queue.put_many(["x" * 200] * DEPTH)
    usual = quarter()
    vacuumed(admin)
    assert quarter() < usual * 1.5 + SLACK
    with psycopg.connect(server.url) as old:
        old.execute("SELECT pg_current_xact_id()")
        grown = quarter()
    vacuumed(admin)
    assert quarter() < grown * 1.25 + SLACK
    with Queue(server.url) as queue:
        while deliveries := queue.get_many(BATCH, timeout=0.5):
            queue.ack_many(deliveries)
    for table in ("task", "ready", "returned", "waiting", "hidden", "dead", "done", *OF_TASKS):
        statement = f"SELECT count(*) FROM distqueue.{table}"  # noqa: S608 - names of ours
        assert admin.execute(statement.encode()).fetchone() == (0,), table
