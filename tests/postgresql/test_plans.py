"""A session that made its plans when the tables were almost empty never reads a whole queue for a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import batched
from typing import Final

import psycopg
import pytest

from distqueue.broker import Broker
from distqueue.commands import (
    Ack,
    Browse,
    Cancel,
    Claim,
    Command,
    Extend,
    Find,
    Put,
    Redrive,
    Reject,
    Release,
    Remembered,
    Retry,
    Stats,
)
from distqueue.opening import open_broker
from distqueue.results import Claimed, Found, Lease, Outcome, Redriven, Removed, Settled, Stored

COUNT: Final = 400
BATCH: Final = 10
WORK: Final = "work"
TOKEN: Final = "token"
MOST: Final = 20
"""How many rows and entries of indexes may be read of each table for a task: all would be hundreds."""
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
_SESSIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
_READS: Final = """
    SELECT t.relname, t.seq_tup_read + coalesce(sum(i.idx_tup_read), 0)::bigint
    FROM pg_stat_user_tables t LEFT JOIN pg_stat_user_indexes i USING (relid)
    WHERE t.schemaname = %s GROUP BY t.relname, t.seq_tup_read
"""


class Store:
    """A broker that is used by one thread, and what the server reads for it."""

    def __init__(self, url: str, server: str) -> None:
        self._schema = url.rpartition("schema=")[2]
        self._server = server
        self.broker: Broker = open_broker(url)

    def analyze(self) -> None:
        """Let the planner know how large the tables are now."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            tables = connection.execute(_TABLES, (self._schema,)).fetchall()
            names = ", ".join(f"{self._schema}.{table}" for (table,) in tables)
            connection.execute(f"VACUUM ANALYZE {names}".encode())

    def reads(self) -> dict[str, int]:
        """Close the broker, and return how much was read of each table: the end of a session tells of all."""
        self.broker.close()
        with psycopg.connect(self._server, autocommit=True) as connection:
            while connection.execute(_SESSIONS, (f"distqueue/{self._schema}",)).fetchone() != (0,):
                connection.execute("SELECT pg_sleep(0.01)")
            return dict(connection.execute(_READS, (self._schema,)).fetchall())


@pytest.fixture
def store(url: str, postgres_url: str) -> Iterator[Store]:
    store = Store(url, postgres_url)
    yield store
    store.broker.close()


def apply(broker: Broker, commands: Sequence[Command], wanted: type[Outcome]) -> None:
    """Apply commands, a batch a call, all of which succeed."""
    for some in batched(commands, BATCH):
        outcomes = broker.apply(list(some))
        assert {type(outcome) for outcome in outcomes} <= {wanted}, outcomes


def put(broker: Broker, queue: str, prefix: str, count: int, keep_done: float = 0.0) -> list[str]:
    """Put tasks, and some of them once more."""
    task_ids = [f"{prefix}-{number}" for number in range(count)]
    expires_in = 600.0 if keep_done else None
    puts = [Put.make(queue, each, b"1", keep_done=keep_done, expires_in=expires_in) for each in task_ids]
    apply(broker, puts, Stored)
    apply(broker, puts[::BATCH], Stored)
    return task_ids


def claim(broker: Broker, queue: str, count: int) -> list[Lease]:
    """Claim so many tasks, once they are ready."""
    leases: list[Lease] = []
    while len(leases) < count:
        most = min(BATCH, count - len(leases))
        (outcome,) = broker.apply([Claim(queue=queue, token=TOKEN, count=most, lease=600.0)])
        assert isinstance(outcome, Claimed)
        leases += outcome.leases
    return leases


def settle(
    broker: Broker, kind: type[Ack | Release | Retry | Reject | Extend], queue: str, leases: Sequence[Lease]
) -> None:
    apply(broker, [kind(queue=queue, receipt=lease.receipt) for lease in leases], Settled)


# --- What is done with many tasks, and before with a few --------------------------------------------


def all_at_once(broker: Broker, prefix: str, count: int) -> None:
    """Have all tasks out at once, and then all done, and then all remembered."""
    put(broker, WORK, prefix, count)
    leases = claim(broker, WORK, count)
    settle(broker, Extend, WORK, leases)
    settle(broker, Ack, WORK, leases)
    settle(broker, Ack, WORK, leases[::BATCH])  # again
    put(broker, WORK, f"{prefix}-kept", count, keep_done=600.0)
    put(broker, WORK, prefix, count, keep_done=600.0)  # whose ids are remembered
    settle(broker, Ack, WORK, claim(broker, WORK, count))
    broker.apply([Stats(queue=WORK), Remembered(queue=WORK, limit=BATCH)])


def in_turn(broker: Broker, prefix: str, count: int) -> None:
    """Take and end tasks as a worker does: the acks of a batch and the next claim in one call."""
    put(broker, WORK, prefix, count)
    acks: list[Command] = []
    for _ in range(0, count, BATCH):
        outcome = broker.apply([*acks, Claim(queue=WORK, token=TOKEN, count=BATCH)])[-1]
        assert isinstance(outcome, Claimed)
        acks = [Ack(queue=WORK, receipt=lease.receipt) for lease in outcome.leases]
    apply(broker, acks, Settled)


def with_trouble(broker: Broker, prefix: str, count: int) -> None:
    """Have all tasks come back, and then fail or die."""
    task_ids = put(broker, WORK, prefix, count)
    settle(broker, Release, WORK, claim(broker, WORK, count))
    some = task_ids[::BATCH]
    apply(broker, [Find(queue=WORK, task_id=task_id) for task_id in some], Found)
    apply(broker, [Cancel(queue=WORK, task_id=task_id) for task_id in some], Removed)
    leases = claim(broker, WORK, count - len(some))
    settle(broker, Retry, WORK, leases[1::2])
    settle(broker, Reject, WORK, leases[::2])
    dead = [lease.task_id for lease in leases[::BATCH]]
    apply(broker, [Find(queue=WORK, task_id=task_id) for task_id in dead], Found)
    apply(broker, [Redrive(queue=WORK, task_id=task_id) for task_id in dead], Redriven)
    settle(broker, Ack, WORK, claim(broker, WORK, len(dead)))
    broker.apply([Browse(queue=WORK, limit=BATCH), Browse(queue=WORK, order="line", limit=BATCH)])


def by_time(broker: Broker, prefix: str, count: int) -> None:
    """Have tasks with keys, two in each group, become due, and leases run out."""
    names = [f"{prefix}-{number}" for number in range(count)]
    puts = [
        Put.make(WORK, name, b"1", group=f"{prefix}-{number // 2}", unique=name, delay=0.001)
        for number, name in enumerate(names)
    ]
    apply(broker, puts, Stored)
    leases = claim(broker, WORK, count // 2)
    apply(broker, [Extend(queue=WORK, receipt=lease.receipt, lease=0.001) for lease in leases], Settled)
    settle(broker, Ack, WORK, claim(broker, WORK, count // 2))
    settle(broker, Reject, WORK, claim(broker, WORK, count // 2))


# --- What there is when plans are made -------------------------------------------------------------


def nothing(broker: Broker) -> None:
    """Every table is empty."""


def one_leased(broker: Broker) -> None:
    put(broker, WORK, "before", 1)
    claim(broker, WORK, 1)


def one_in_each_queue(broker: Broker) -> None:
    """In many queues one task each, in all the places where tasks stand."""
    for number, kind in enumerate((None, Extend, Release, Retry, Reject, Ack) * 10):
        queue = f"other-{number}"
        put(broker, queue, "before", 1, keep_done=600.0 * (number % 12 == 5))
        if kind is not None:
            settle(broker, kind, queue, claim(broker, queue, 1))


def thousands(broker: Broker) -> None:
    put(broker, WORK, "before", COUNT)
    claim(broker, WORK, COUNT)
    put(broker, "other", "before", COUNT)


@pytest.mark.parametrize("work", [all_at_once, in_turn, with_trouble, by_time])
@pytest.mark.parametrize("before", [nothing, one_leased, one_in_each_queue, thousands])
def test_no_more_is_read_for_a_task_than_a_few_rows(
    store: Store, before: Callable[[Broker], None], work: Callable[[Broker, str, int], None]
) -> None:
    before(store.broker)
    store.analyze()
    work(store.broker, "first", BATCH)
    work(store.broker, "many", COUNT)
    reads = {table: count / COUNT for table, count in store.reads().items()}
    assert reads["task"] > 1
    assert {table: count for table, count in reads.items() if count > MOST} == {}
