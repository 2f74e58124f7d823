"""Two statements that lock the same groups wait for each other at most in one direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from distqueue.broker import Broker
from distqueue.commands import Claim, Command, Put, Redrive, Reject, Retry, Stats
from distqueue.opening import open_broker
from distqueue.results import Claimed, Counted, Lease, Outcome, Redriven, Settled
from distqueue_backends.postgresql import server
from tests.broker.conftest import wait_until
from tests.postgresql.test_loading import WAITERS

GROUPS = ("a", "b")


@pytest.fixture
def broker(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """A broker that asks for all commands of a call at once, however long it takes."""
    monkeypatch.setattr(server, "PATIENCE", 60.0)
    broker = open_broker(url, lock_timeout=60)
    yield broker
    broker.close()


def leased(broker: Broker, lease: float = 600.0) -> list[Lease]:
    """Have the tasks of two groups out, the last group first."""
    puts = [Put.make("work", group, b"1", group=group, max_attempts=1) for group in reversed(GROUPS)]
    broker.apply(puts)
    (outcome,) = broker.apply([Claim(queue="work", token="t", count=2, lease=lease)])  # noqa: S106 - of a claim
    assert isinstance(outcome, Claimed)
    assert [each.task_id for each in outcome.leases] == ["b", "a"]
    return outcome.leases


def rejects(broker: Broker) -> list[Command]:
    return [Reject(queue="work", receipt=lease.receipt) for lease in leased(broker)]


def last_retries(broker: Broker) -> list[Command]:
    return [Retry(queue="work", receipt=lease.receipt) for lease in leased(broker)]


def redrive(broker: Broker) -> list[Command]:
    broker.apply(rejects(broker))
    broker.apply([Put.make("work", f"{group}2", b"1", group=group) for group in GROUPS])
    return [Redrive(queue="work")]


def lapse(broker: Broker) -> list[Command]:
    leased(broker, lease=0.001)
    return [Stats(queue="work")]


@pytest.mark.parametrize("prepare", [rejects, last_retries, redrive, lapse])
def test_groups_are_locked_by_name(
    broker: Broker,
    other: psycopg.Connection,
    postgres_url: str,
    prepare: Callable[[Broker], Sequence[Command]],
) -> None:
    """Somebody holds the first group and wants the second: whoever waits for the first may not have it."""
    commands = prepare(broker)
    lock = "SELECT FROM grp WHERE name = %s FOR UPDATE"
    other.execute(lock, ("a",))
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(broker.apply, commands)
        wait_until(lambda: asked.done() or other.execute(WAITERS).fetchone() != (0,), "the other one to wait")
        other.execute(f"{lock} NOWAIT", ("b",))
        other.rollback()
        outcomes: list[Outcome] = asked.result(60)
    assert {type(outcome) for outcome in outcomes} <= {Settled, Redriven, Counted}
