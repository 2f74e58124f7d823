"""Claims that wait in the broker process: a task is claimed in the commit that brings it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from distqueue import AsyncQueue, Closed, Delivery, Queue
from distqueue.broker.event import Apply, Body, Event, Failed, Wait, Woken, decode, encode, request
from distqueue.broker.frames import Frames, framed
from distqueue.broker.parked import LONGEST
from distqueue.commands import Claim
from distqueue.results import Claimed, Seen
from distqueue.supervisor import Supervisor
from tests.broker.conftest import PATIENCE, wait_until
from tests.json.tracing import need_strace

type Serve = Callable[..., Supervisor]


class Client:
    """A client that says what a test wants said, and waits only when it is told to."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(supervisor.address)
        self._frames = Frames()
        self._number = 0
        self.hear()

    def say(self, body: Apply | Wait) -> None:
        self._number += 1
        self.socket.sendall(framed(encode(request(self._number, body))))

    def hear(self) -> Body:
        while not (events := [decode(frame) for frame in self._frames.whole()]):
            data = self.socket.recv(65536)
            assert data, "the broker process hung up"
            self._frames.feed(data)
        event: Event = events[0]
        return event.body

    def park(self, token: str, count: int = 1, seen: Seen | None = None, lease: float = 30.0) -> None:
        """Claim, which finds nothing, and let the claim wait from then on."""
        claim = Claim(queue="default", token=token, count=count, lease=lease)
        if seen is None:
            self.say(Apply([claim]))
            claimed = self.hear().outcomes[0]  # type: ignore[union-attr]
            assert isinstance(claimed, Claimed)
            assert not claimed.leases
            seen = claimed.seen
        self.say(Wait("default", seen, None, claim))

    def leases(self) -> list[bytes]:
        """Return the data of the tasks that the parked claim got."""
        woken = self.hear()
        assert isinstance(woken, Woken)
        return [bytes(lease.data) for lease in woken.leases]

    def is_quiet(self) -> bool:
        """Whether nothing has been said to it by the time that it gets an answer to something else."""
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(65536)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def test_a_put_and_the_claim_that_waited_for_it_are_one_commit(
    url: str, serve: Serve, tmp_path: Path
) -> None:
    with Client(serve()) as consumer, Queue(url) as queue:
        consumer.park("one")
        before = len((tmp_path / "Queue.json").read_bytes().splitlines())
        queue.put("now")
        assert consumer.leases() == [b'"now"']
        assert len((tmp_path / "Queue.json").read_bytes().splitlines()) == before + 1


def test_one_task_is_for_one_claim_and_the_longest_waiting_first(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor) as first, Client(supervisor) as second, Queue(url) as queue:
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
    with Client(supervisor) as first, Client(supervisor) as second, Queue(url) as queue:
        first.park("one", lease=0.5)
        second.park("two")
        queue.put("a")
        assert first.leases() == [b'"a"']
        assert second.leases() == [b'"a"']


def test_a_claim_of_many_takes_what_one_commit_brings(url: str, serve: Serve) -> None:
    with Client(serve()) as consumer, Queue(url) as queue:
        consumer.park("many", count=10)
        queue.put_many(["a", "b", "c"])
        assert consumer.leases() == [b'"a"', b'"b"', b'"c"']


def test_what_many_wait_for_comes_in_one_commit(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor) as first, Client(supervisor) as second, Queue(url) as queue:
        first.park("one")
        second.park("two")
        queue.put_many(["a", "b", "c"])
        assert [first.leases(), second.leases()] == [[b'"a"'], [b'"b"']]
        assert queue.stats().leased == 2


def test_a_claim_waits_on_when_there_is_nothing_for_it(url: str, serve: Serve) -> None:
    with Client(serve()) as consumer, Queue(url) as queue:
        consumer.park("one")
        queue.put("later", delay=3600)
        queue.pause()
        queue.put("now")
        assert consumer.is_quiet()
        queue.resume()
        assert consumer.leases() == [b'"now"']


def test_a_claim_that_is_no_claim_is_refused(url: str, serve: Serve) -> None:
    with Client(serve()) as consumer, Queue(url) as queue:
        consumer.park("none", count=-1, seen=Seen(2**40))
        queue.put("now")
        body = consumer.hear()
        assert isinstance(body, Failed | Woken)
        delivery = queue.get(timeout=0)
        assert delivery is not None
        assert delivery.deliveries == 1


def test_what_a_client_claimed_that_is_gone_goes_to_the_next(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor) as second, Queue(url) as queue:
        with Client(supervisor) as first:
            first.park("one")
            second.park("two")
        queue.put("now")
        assert second.leases() == [b'"now"']


def test_all_that_wait_are_served_once_the_queue_is_resumed(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor) as first, Client(supervisor) as second, Queue(url) as queue:
        first.park("one")
        second.park("two")
        queue.pause()
        queue.put_many(["a", "b"])
        queue.resume()
        assert [first.leases(), second.leases()] == [[b'"a"'], [b'"b"']]


def test_a_follow_up_task_is_for_those_who_wait_in_its_queue(url: str, serve: Serve) -> None:
    with Client(serve()) as consumer, Queue(url, name="first") as first, Queue(url) as queue:
        consumer.park("one")
        first.put("before")
        delivery = first.get(timeout=0)
        assert delivery is not None
        delivery.ack(then=[queue.task("then")])
        assert consumer.leases() == [b'"then"']


@contextmanager
def slow_disk(supervisor: Supervisor) -> Iterator[None]:
    """Let each sync of the broker process return half a second late."""
    need_strace()
    slowness = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=500000"]
    command = ["strace", "-f", "-o", os.devnull, *slowness, "-p", str(supervisor.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        try:
            yield
        finally:
            strace.terminate()
            strace.communicate(timeout=PATIENCE)


def test_what_reaches_nobody_is_given_back(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Client(supervisor) as consumer, Queue(url) as queue, ThreadPoolExecutor(1) as pool:
        consumer.park("one")
        with slow_disk(supervisor):
            put = pool.submit(queue.put, "now")
            time.sleep(0.2)  # it is being synced
            consumer.socket.close()
            put.result(PATIENCE)
        stats = queue.stats()
        assert (stats.ready, stats.leased) == (1, 0)


def test_a_claim_whose_answer_died_with_the_broker_process_is_found_again(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Queue(url) as queue, Queue(url) as other, waiting(queue) as future, ThreadPoolExecutor(1) as pool:
        wait_until(lambda: queue.stats().ready == 0, "the store")
        with slow_disk(supervisor):
            put = pool.submit(other.put, "now")
            time.sleep(0.2)  # it is being synced
            os.kill(supervisor.pid or 0, signal.SIGKILL)
        delivery = future.result(PATIENCE)
        put.result(PATIENCE)
        assert delivery is not None
        assert delivery.deliveries == 1
        delivery.ack()


@contextmanager
def waiting(queue: Queue) -> Iterator[Future[Delivery | None]]:
    """Get in another thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(queue.get, PATIENCE)


def test_a_waiting_get_gets_whatever_becomes_ready(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as queue, Queue(url) as other:

        def after(change: Callable[[], object]) -> Delivery:
            with waiting(queue) as future:
                change()
                delivery = future.result(PATIENCE)
            assert delivery is not None
            return delivery

        assert after(lambda: other.put("put")).data == "put"
        assert after(lambda: other.put("due", delay=0.2)).data == "due"
        last = after(lambda: other.put("lapse"))
        last.extend(0.2)
        assert after(lambda: None).attempt == 2
        last = after(lambda: other.put("settled"))
        assert after(last.release).attempt == 1
        last = after(lambda: other.put("retried"))
        assert after(lambda: last.retry(delay=0)).attempt == 2
        last = after(lambda: other.put("rejected"))
        last.reject()
        assert after(other.redrive).data == "rejected"
        last = after(lambda: other.put("first"))
        assert after(lambda: last.ack(then=[other.task("then")])).data == "then"
        other.pause()
        other.put("paused")
        assert after(other.resume).data == "paused"


@pytest.mark.parametrize("attempt", range(3))
def test_close_gives_back_what_it_claimed_in_that_moment(url: str, serve: Serve, attempt: int) -> None:
    serve()
    with Queue(url) as other:
        for n in range(40):
            consumer = Queue(url)
            with waiting(consumer) as future:
                put = threading.Thread(target=other.put, args=(n,))
                time.sleep(0.0005 * (n % 7))  # before it waits, while, and after
                put.start()
                consumer.close()
                put.join()
                handed_out = future.exception() is None
            assert isinstance(future.exception(), Closed | None)
            stats = other.stats()
            assert (stats.leased, stats.ready) == ((1, 0) if handed_out else (0, 1))
            other.purge()


def test_a_cancelled_get_gives_back_what_it_claimed_in_that_moment(url: str, serve: Serve) -> None:
    serve()

    async def race() -> None:
        async with AsyncQueue(url) as consumer, AsyncQueue(url) as other:
            await other.stats()
            for n in range(100):
                get = asyncio.create_task(consumer.get())
                await asyncio.sleep(0.0005 * (n % 7))
                put = asyncio.create_task(other.put(n))
                await asyncio.sleep(0.0003 * (n % 5))
                get.cancel()
                await put
                (result,) = await asyncio.gather(get, return_exceptions=True)
                if isinstance(result, asyncio.CancelledError):
                    again = await consumer.get(timeout=PATIENCE)
                    assert again is not None
                    assert again.data == n
                await other.purge()

    asyncio.run(race())


def test_a_get_beside_a_cancelled_one_gets_the_task(url: str, serve: Serve) -> None:
    serve()

    async def race() -> None:
        async with AsyncQueue(url) as consumer, AsyncQueue(url) as other:
            await other.stats()
            for n in range(40):
                first = asyncio.create_task(consumer.get())
                second = asyncio.create_task(consumer.get(timeout=PATIENCE))
                await asyncio.sleep(0.01)
                put = asyncio.create_task(other.put(n))
                await asyncio.sleep(0.0003 * (n % 5))
                first.cancel()
                await put
                (result,) = await asyncio.gather(first, return_exceptions=True)
                if isinstance(result, asyncio.CancelledError):
                    delivery = await second
                    assert delivery is not None
                    assert delivery.data == n
                second.cancel()
                await asyncio.gather(second, return_exceptions=True)
                await other.purge()

    asyncio.run(race())


def test_a_get_that_was_cancelled_claims_no_more(url: str, serve: Serve) -> None:
    serve()

    async def cancel() -> None:
        async with AsyncQueue(url) as consumer, AsyncQueue(url) as other:
            get = asyncio.create_task(consumer.get())
            await asyncio.sleep(0.2)  # it waits
            get.cancel()
            await asyncio.gather(get, return_exceptions=True)
            await other.put("now")
            delivery = await other.get(timeout=0)
            assert delivery is not None
            assert delivery.deliveries == 1

    asyncio.run(cancel())


def test_a_queue_that_was_closed_claims_no_more(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as other:
        consumer = Queue(url)
        with waiting(consumer) as future:
            time.sleep(0.2)  # it waits
            began = time.monotonic()
            consumer.close()
            assert isinstance(future.exception(PATIENCE), Closed)
            assert time.monotonic() - began < LONGEST  # when the broker process lets it go by itself
        other.put("now")
        delivery = other.get(timeout=0)
        assert delivery is not None
        assert delivery.deliveries == 1


def test_coroutines_that_wait_share_one_thread_and_each_gets_a_task(url: str, serve: Serve) -> None:
    serve()

    async def many() -> None:
        async with AsyncQueue(url) as consumer, AsyncQueue(url) as other:
            gets = [asyncio.create_task(consumer.get(timeout=PATIENCE)) for _ in range(50)]
            for n in range(50):
                await other.put(n)
            deliveries = await asyncio.gather(*gets)
            assert sorted(one.data for one in deliveries if one is not None) == list(range(50))
            assert {one.deliveries for one in deliveries if one is not None} == {1}

    asyncio.run(many())


def test_the_lease_of_a_task_that_came_late_began_late(url: str, serve: Serve, tmp_path: Path) -> None:
    serve()
    with Queue(url) as queue, Queue(url) as other, ThreadPoolExecutor(1) as pool:
        future = pool.submit(queue.get, PATIENCE, 3.0)
        time.sleep(1.5)  # by then a lease of its length would have to be renewed
        other.put("late")
        delivery = future.result(PATIENCE)
        assert delivery is not None
        with delivery:
            size = len((tmp_path / "Queue.json").read_bytes().splitlines())
            time.sleep(0.2)  # in which it would be
            assert len((tmp_path / "Queue.json").read_bytes().splitlines()) == size


CONSUMER = """
import sys, time
from distqueue import Queue
delivery = None
with Queue(sys.argv[1]) as queue:
    print("waiting", flush=True)
    try:
        delivery = queue.get()
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted" if delivery is None else "got it")
"""


FORKED = """
import os, sys, time
from distqueue import Queue
with Queue(sys.argv[1]) as queue:
    queue.stats()
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    try:
        queue.get(lease=3600)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    time.sleep(60)
"""


def test_an_interrupted_get_claims_no_more_though_a_child_holds_its_socket(url: str, serve: Serve) -> None:
    serve()
    command = [sys.executable, "-c", FORKED, url]
    with Queue(url) as queue, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        time.sleep(0.3)  # it waits
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        queue.put("now")
        delivery = queue.get(timeout=0)
        process.kill()
        os.kill(child, signal.SIGKILL)
    assert delivery is not None


def test_an_interrupted_get_gives_back_what_it_claimed_in_that_moment(url: str, serve: Serve) -> None:
    serve()
    with Queue(url) as queue:
        for n in range(5):
            process = subprocess.Popen(
                [sys.executable, "-c", CONSUMER, url], stdout=subprocess.PIPE, text=True
            )
            with process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(0.005 * n)  # before it waits, or while
                queue.put(n)
                os.kill(process.pid, signal.SIGINT)
                ended = process.stdout.read()
            stats = queue.stats()
            assert (stats.ready, stats.leased) == ((0, 1) if ended == "got it\n" else (1, 0))
            queue.purge()


def test_a_claim_that_waits_outlives_the_broker_process(url: str, serve: Serve) -> None:
    supervisor = serve()
    with Queue(url) as queue, Queue(url) as other, waiting(queue) as future:
        other.put("first")
        delivery = future.result(PATIENCE)
        assert delivery is not None
        with waiting(queue) as second:
            os.kill(supervisor.pid or 0, signal.SIGKILL)
            other.put("second")
            later = second.result(PATIENCE)
        assert later is not None
        assert later.data == "second"
        delivery.ack()
