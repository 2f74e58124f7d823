"""Connections that break at every single moment of a call, and sessions that outlive their connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count

import psycopg
import pytest

from distqueue import commands as c
from distqueue.broker import Broker
from distqueue.commands import Ack, Claim, Put
from distqueue.errors import OutcomeUnknown
from distqueue.ids import new_token
from distqueue.opening import migrate_store, open_broker
from distqueue.outcomes import leases_in
from distqueue.results import Claimed, Counted, Found, Lease, Removed, Settled, Stored
from distqueue.task import TaskState
from tests.servers.chosen import postgres_programs
from tests.servers.postgresql import serving
from tests.servers.proxy import Harm, Proxy


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with Proxy(url) as proxy:
        yield proxy


@pytest.fixture
def shaky(proxy: Proxy) -> Iterator[Broker]:
    """The store by way of the proxy."""
    broker = open_broker(proxy.url, listen="off")  # so that there is one connection only
    yield broker
    broker.close()


@pytest.fixture
def direct(url: str) -> Iterator[Broker]:
    broker = open_broker(url)
    yield broker
    broker.close()


@pytest.fixture(params=["off", "auto"])
def steady_or_pooled(request: pytest.FixtureRequest, proxy: Proxy) -> Iterator[Broker]:
    """The store by way of the proxy, with a transaction around each statement and without."""
    broker = open_broker(proxy.url, listen=request.param)
    yield broker
    broker.close()


def at_every_moment(proxy: Proxy, call: Callable[[str], None]) -> None:
    """Make a call again and again, and break its connection each time one step later."""
    for harm in (Harm.UNSAID, Harm.UNANSWERED):
        for skip in count():
            proxy.do(harm, skip)
            call(f"{harm.name.lower()}{skip}")
            if not proxy.was_done():
                break
        assert skip > 0


def claim(broker: Broker, queue: str, number: int = 1) -> list[Lease]:
    return leases_in(broker.apply([Claim(queue=queue, token=new_token(), count=number)]))


def ready(broker: Broker, queue: str) -> int:
    (counted,) = broker.apply([c.Stats(queue=queue)])
    assert isinstance(counted, Counted)
    return counted.queues[0].ready


def test_what_is_put_is_there_once(proxy: Proxy, steady_or_pooled: Broker, direct: Broker) -> None:
    def put(queue: str) -> None:
        puts = [Put.make(queue, f"{queue}.{number}", b"1", unique=f"{number}") for number in range(3)]
        for outcome in steady_or_pooled.apply([*puts, Put.make("other", queue, b"1")]):
            assert isinstance(outcome, Stored)
            assert not outcome.duplicate
        assert ready(direct, queue) == 3

    at_every_moment(proxy, put)


def test_what_is_claimed_is_handed_out_once(proxy: Proxy, steady_or_pooled: Broker, direct: Broker) -> None:
    def take(queue: str) -> None:
        direct.apply([Put.make(queue, f"{queue}.{number}", b"1") for number in range(3)])
        (lease,) = claim(steady_or_pooled, queue)
        assert (lease.task_id, lease.deliveries) == (f"{queue}.0", 1)
        assert [each.task_id for each in claim(direct, queue, 5)] == [f"{queue}.1", f"{queue}.2"]

    at_every_moment(proxy, take)


@pytest.mark.parametrize("verb", ["ack", "follow", "retry", "release", "reject", "extend"])
def test_what_is_settled_is_settled_once(proxy: Proxy, shaky: Broker, direct: Broker, verb: str) -> None:
    def settle(queue: str) -> None:
        direct.apply([Put.make(queue, queue, b"1", max_attempts=9)])
        (lease,) = claim(direct, queue)
        follow_up = Put.make(queue, f"{queue}.then", b"2")
        command: c.Settle = {
            "ack": Ack(queue=queue, receipt=lease.receipt),
            "follow": Ack(queue=queue, receipt=lease.receipt, then=(follow_up,)),
            "retry": c.Retry(queue=queue, receipt=lease.receipt, delay=0.0, error="no"),
            "release": c.Release(queue=queue, receipt=lease.receipt),
            "reject": c.Reject(queue=queue, receipt=lease.receipt, error="no"),
            "extend": c.Extend(queue=queue, receipt=lease.receipt, lease=60.0),
        }[verb]
        (settled,) = shaky.apply([command])
        assert isinstance(settled, Settled), settled
        (found,) = direct.apply([c.Find(queue=queue, task_id=queue)])
        assert isinstance(found, Found)
        states = {"retry": "ready", "release": "ready", "reject": "dead", "extend": "leased"}
        assert (None if found.task is None else found.task.state.value) == states.get(verb)
        if found.task is not None:
            assert found.task.attempt == 1 + (verb == "retry")
        assert ready(direct, queue) == (verb in ("follow", "retry", "release"))

    at_every_moment(proxy, settle)


def test_what_is_cancelled_is_gone_or_nobody_knows(proxy: Proxy, shaky: Broker, direct: Broker) -> None:
    def cancel(queue: str) -> None:
        direct.apply([Put.make(queue, queue, b"1")])
        with suppress(OutcomeUnknown):
            (removed,) = shaky.apply([c.Cancel(queue=queue, task_id=queue)])
            assert removed == Removed(task_id=queue, state=TaskState.READY)
            assert ready(direct, queue) == 0

    at_every_moment(proxy, cancel)


def test_a_claim_that_the_server_still_commits_is_the_one_that_is_asked_for_again() -> None:
    with serving(postgres_programs()) as server, Proxy(server.url) as proxy:
        migrate_store(server.url)
        broker = open_broker(proxy.url)
        broker.apply([Put.make("work", "it", b"1")])
        with psycopg.connect(server.url, autocommit=True) as admin, ThreadPoolExecutor(1) as other:
            # A commit waits for a standby that is not there.
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            admin.execute("SELECT pg_reload_conf()")
            claiming = other.submit(broker.apply, [Claim(queue="work", token="first")])  # noqa: S106 - of a claim
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            while admin.execute(waits).fetchone() != (1,):
                assert not claiming.done()
            proxy.hang_up()
            (claimed,) = claiming.result(30)
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
        assert isinstance(claimed, Claimed)
        assert [(each.task_id, each.deliveries) for each in claimed.leases] == [("it", 1)]
        broker.close()
