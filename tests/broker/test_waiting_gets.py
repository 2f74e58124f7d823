"""What a waiting ``get`` claims reaches whoever waits, or is given back, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from distqueue import AsyncDelivery, AsyncQueue, Closed, Delivery, Queue
from distqueue.broker.parked import LONGEST
from distqueue.supervisor import Supervisor
from tests.broker.conftest import PATIENCE, wait_until
from tests.broker.raw import Client
from tests.json.tracing import need_strace

type Serve = Callable[..., Supervisor]


@contextmanager
def waiting(queue: Queue) -> Iterator[Future[Delivery | None]]:
    """Get in another thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(queue.get, PATIENCE)


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


def wait_until_written(directory: Path) -> None:
    """Wait until the put of ``"now"`` is in the file; on a slow disk it is being synced from then on."""
    wait_until(lambda: b'"now"' in (directory / "Queue.json").read_bytes(), "the put to be written")


def test_what_reaches_nobody_is_given_back(url: str, serve: Serve, tmp_path: Path) -> None:
    supervisor = serve()
    with Client(supervisor.address) as consumer, Queue(url) as queue, ThreadPoolExecutor(1) as pool:
        consumer.park("one")
        with slow_disk(supervisor):
            put = pool.submit(queue.put, "now")
            wait_until_written(tmp_path)
            consumer.socket.close()
            put.result(PATIENCE)
        stats = queue.stats()
        assert (stats.ready, stats.leased) == (1, 0)


def test_a_claim_whose_answer_died_with_the_broker_process_is_found_again(
    url: str, serve: Serve, tmp_path: Path
) -> None:
    supervisor = serve()
    with Queue(url) as queue, Queue(url) as other, waiting(queue) as future, ThreadPoolExecutor(1) as pool:
        wait_until(lambda: queue.stats().ready == 0, "the store")
        with slow_disk(supervisor):
            put = pool.submit(other.put, "now")
            wait_until_written(tmp_path)
            os.kill(supervisor.pid or 0, signal.SIGKILL)
        delivery = future.result(PATIENCE)
        put.result(PATIENCE)
        assert delivery is not None
        assert delivery.deliveries == 1
        delivery.ack()


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
    try:
        print(child, flush=True)
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


def test_a_get_is_served_though_those_of_a_loop_before_were_abandoned(url: str, serve: Serve) -> None:
    serve()
    queue = AsyncQueue(url)

    async def abandon() -> None:
        waits = asyncio.create_task(queue.get())
        await asyncio.sleep(0.1)
        assert not waits.done()

    async def work() -> AsyncDelivery | None:
        waits = asyncio.create_task(queue.get())
        await asyncio.sleep(0.1)
        await queue.put("x")
        return await asyncio.wait_for(waits, PATIENCE)

    asyncio.run(abandon())
    delivery = asyncio.run(work())
    assert delivery
    assert (delivery.data, delivery.deliveries) == ("x", 1)
    asyncio.run(queue.close())
