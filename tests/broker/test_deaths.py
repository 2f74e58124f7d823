"""Consumers that die, and consumers that leave: when a lease ends, and what that costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from distqueue import Queue
from distqueue.broker.event import Apply
from distqueue.commands import Claim
from distqueue.conformance.processes import OtherProcess
from distqueue.results import Claimed
from distqueue.supervisor import Supervisor

from .conftest import wait_until
from .raw import Client

type Serve = Callable[..., Supervisor]

LONG = 3600.0


def claimed_by(other: OtherProcess) -> Claimed:
    """Let another process claim one task for an hour."""
    (outcome,) = other.apply([Claim(queue="default", token="t", lease=LONG)])  # noqa: S106
    assert isinstance(outcome, Claimed)
    return outcome


def test_a_task_that_kills_its_workers_is_dead_after_its_attempts(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as queue:
        queue.put("poison", task_id="poison", max_attempts=3)
        for attempt in range(1, 4):
            with OtherProcess(url, queue.capabilities()) as worker:
                wait_for_a_task(queue)
                (lease,) = claimed_by(worker).leases
                assert (lease.attempt, lease.deliveries) == (attempt, attempt)
                worker.child.kill()
        deadline = time.monotonic() + 20
        while not queue.stats().dead:
            assert time.monotonic() < deadline
        (dead,) = queue.dead()
        assert (dead.task_id, dead.deliveries) == ("poison", 3)
        assert "lease ran out" in (dead.error or "")


CONSUMER = (
    "import sys, time; from distqueue import Queue; print(Queue(sys.argv[1]).get(lease=3600)); time.sleep(60)"
)


def test_the_lease_of_a_consumer_that_waited_for_it_ends_with_it(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as queue:
        command = [sys.executable, "-u", "-c", CONSUMER, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as consumer:
            time.sleep(0.5)  # it waits, most probably
            queue.put("poison")
            assert consumer.stdout is not None
            assert "attempt 1" in consumer.stdout.readline()
            consumer.kill()
        again = queue.get(timeout=20)
        assert again is not None
        assert (again.attempt, again.deliveries) == (2, 2)


def test_a_consumer_that_leaves_uses_up_no_attempt(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as queue:
        queue.put("x")
        with Queue(url) as leaving:
            delivery = leaving.get(timeout=0)
            assert delivery is not None
            delivery.release()
        again = queue.get(timeout=0)
        assert again is not None
        assert (again.attempt, again.deliveries) == (1, 2)


def test_a_lease_is_not_ended_by_a_broken_connection(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as queue:
        queue.put("x")
        with Queue(url) as other:
            held = other.get(timeout=0, lease=LONG)
            assert held is not None
        # the process lives, so its lease does too
        assert queue.get(timeout=0.3) is None
        assert queue.stats().leased == 1


def test_a_death_wakes_whoever_waits(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as queue:
        queue.put("x")
        with OtherProcess(url, queue.capabilities()) as worker:
            assert claimed_by(worker).leases
            worker.child.kill()
        delivery = queue.get(timeout=20)
        assert delivery is not None
        assert delivery.attempt == 2


def wait_for_a_task(queue: Queue) -> None:
    deadline = time.monotonic() + 20
    while not queue.stats().ready:
        assert time.monotonic() < deadline


LAST_BREATH = """
import sys
from distqueue import Queue
with Queue(sys.argv[1]) as queue:
    queue.stats()
    print("ready", flush=True)
    sys.stdin.readline()
    queue.get(timeout=0, lease=3600)
"""


def test_what_a_consumer_claimed_with_its_last_breath_comes_back(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Queue(url) as queue:
        queue.put("x")
        command = [sys.executable, "-c", LAST_BREATH, url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as consumer:
            assert consumer.stdin is not None
            assert consumer.stdout is not None
            assert consumer.stdout.readline() == "ready\n"
            os.kill(supervisor.pid or 0, signal.SIGSTOP)
            consumer.stdin.write("\n")
            consumer.stdin.flush()
            time.sleep(0.3)  # it asks
            consumer.kill()
        os.kill(supervisor.pid or 0, signal.SIGCONT)
        again = queue.get(timeout=20)
        assert again is not None


def test_what_was_claimed_for_a_client_that_hung_up_goes_back(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Queue(url) as queue:
        queue.put("x")
        with Client(supervisor.address) as client:
            os.kill(supervisor.pid or 0, signal.SIGSTOP)
            client.say(Apply([Claim(queue="default", token="t", lease=LONG)]))  # noqa: S106
        os.kill(supervisor.pid or 0, signal.SIGCONT)
        again = queue.get(timeout=20)
        assert again is not None
        assert (again.attempt, again.deliveries) == (1, 2)


WITH_A_CHILD = """
import os, sys, time
from distqueue import Queue
with Queue(sys.argv[1]) as queue:
    queue.stats()
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    queue.get(lease=3600)
"""


def descriptors(supervisor: Supervisor) -> int:
    """Return how many files a broker process has open: its clients' sockets, and their processes."""
    return len(os.listdir(f"/proc/{supervisor.pid}/fd"))


def test_a_dead_consumer_claims_no_more_though_its_child_holds_its_socket(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Queue(url) as queue:
        command = [sys.executable, "-c", WITH_A_CHILD, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as consumer:
            assert consumer.stdout is not None
            child = int(consumer.stdout.readline())
            time.sleep(0.3)  # it waits
            with_it = descriptors(supervisor)
            consumer.kill()
            consumer.wait()
            wait_until(lambda: descriptors(supervisor) < with_it, "the broker process to hear of it")
            queue.put("x")
            again = queue.get(timeout=0)
            os.kill(child, signal.SIGKILL)
        assert again is not None
        assert again.deliveries == 1
