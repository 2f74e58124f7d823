"""Claims that wait in the broker process: a task is claimed in the commit that brings it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distqueue import Queue
from distqueue.broker.event import Failed, Woken
from distqueue.results import Seen
from distqueue.supervisor import Supervisor

from .raw import Client

type Serve = Callable[..., Supervisor]


def test_a_put_and_the_claim_that_waited_for_it_are_one_commit(
    url: str, serve: Serve, tmp_path: Path
) -> None:
    with Client(serve().address) as consumer, Queue(url) as queue:
        consumer.park("one")
        before = len((tmp_path / "Queue.json").read_bytes().splitlines())
        queue.put("now")
        assert consumer.leases() == [b'"now"']
        assert len((tmp_path / "Queue.json").read_bytes().splitlines()) == before + 1


def test_one_task_is_for_one_claim_and_the_longest_waiting_first(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor.address) as first, Client(supervisor.address) as second, Queue(url) as queue:
        first.park("one")
        second.park("two")
        queue.put("a")
        assert first.leases() == [b'"a"']
        queue.stats()
        assert second.is_quiet()
        queue.put("b")
        assert second.leases() == [b'"b"']


def test_a_claim_waits_for_the_end_of_a_lease_that_began_after_it(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor.address) as first, Client(supervisor.address) as second, Queue(url) as queue:
        first.park("one", lease=0.5)
        second.park("two")
        queue.put("a")
        assert first.leases() == [b'"a"']
        assert second.leases() == [b'"a"']


def test_a_claim_of_many_takes_what_one_commit_brings(url: str, serve: Serve) -> None:
    with Client(serve().address) as consumer, Queue(url) as queue:
        consumer.park("many", count=10)
        queue.put_many(["a", "b", "c"])
        assert consumer.leases() == [b'"a"', b'"b"', b'"c"']


def test_what_many_wait_for_comes_in_one_commit(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor.address) as first, Client(supervisor.address) as second, Queue(url) as queue:
        first.park("one")
        second.park("two")
        queue.put_many(["a", "b", "c"])
        assert [first.leases(), second.leases()] == [[b'"a"'], [b'"b"']]
        assert queue.stats().leased == 2


def test_a_claim_waits_on_when_there_is_nothing_for_it(url: str, serve: Serve) -> None:
    with Client(serve().address) as consumer, Queue(url) as queue:
        consumer.park("one")
        queue.put("later", delay=3600)
        queue.pause()
        queue.put("now")
        assert consumer.is_quiet()
        queue.resume()
        assert consumer.leases() == [b'"now"']


def test_a_claim_that_is_no_claim_is_refused(url: str, serve: Serve) -> None:
    with Client(serve().address) as consumer, Queue(url) as queue:
        consumer.park("none", count=-1, seen=Seen(2**40))
        queue.put("now")
        body = consumer.hear()
        assert isinstance(body, Failed | Woken)
        delivery = queue.get(timeout=0)
        assert delivery is not None
        assert delivery.deliveries == 1


def test_what_a_client_claimed_that_is_gone_goes_to_the_next(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor.address) as second, Queue(url) as queue:
        with Client(supervisor.address) as first:
            first.park("one")
            second.park("two")
        queue.put("now")
        assert second.leases() == [b'"now"']


def test_all_that_wait_are_served_once_the_queue_is_resumed(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor.address) as first, Client(supervisor.address) as second, Queue(url) as queue:
        first.park("one")
        second.park("two")
        queue.pause()
        queue.put_many(["a", "b"])
        queue.resume()
        assert [first.leases(), second.leases()] == [[b'"a"'], [b'"b"']]


def test_a_follow_up_task_is_for_those_who_wait_in_its_queue(url: str, serve: Serve) -> None:
    with Client(serve().address) as consumer, Queue(url, name="first") as first, Queue(url) as queue:
        consumer.park("one")
        first.put("before")
        delivery = first.get(timeout=0)
        assert delivery is not None
        delivery.ack(then=[queue.task("then")])
        assert consumer.leases() == [b'"then"']
