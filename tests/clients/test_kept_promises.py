"""What a user's program may do without harm to the store or to others."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distqueue import AlreadySettled, AsyncQueue, InvalidTask, Queue, Stored
from distqueue.commands import Purge, Put, Retry
from distqueue.opening import open_broker
from distqueue.payload import Payload


def test_headers_that_were_handed_out_are_a_copy(url: str) -> None:
    with Queue(url) as queue:
        queue.put(1, task_id="one", headers={"trace": "a"})
        delivery = queue.get(timeout=0)
        assert delivery is not None
        delivery.headers["trace"] = 5  # type: ignore[assignment]
        found = queue.find("one")
        assert found is not None
        assert found.headers == {"trace": "a"}
        found.headers["more"] = object()  # type: ignore[assignment]
        delivery.release()
        again = queue.get(timeout=0)
        assert again is not None
        assert again.headers == {"trace": "a"}


def test_a_second_ack_does_not_claim_to_have_stored_what_it_did_not(url: str) -> None:
    with Queue(url) as queue:
        queue.put(1)
        delivery = queue.get(timeout=0)
        assert delivery is not None
        follow = queue.task("next", task_id="follow")
        delivery.ack()
        with pytest.raises(AlreadySettled, match="follow"):
            delivery.ack(then=[follow])
        assert queue.find("follow") is None
        assert not queue.put("next", task_id="follow").duplicate
        assert delivery.ack(then=[follow]).then == (Stored(task_id="follow", duplicate=True),)


@pytest.mark.parametrize(
    "call",
    [
        lambda queue: queue.purge("redy"),
        lambda queue: queue.peek("3"),
        lambda queue: queue.peek(-1),
        lambda queue: queue.find([]),
        lambda queue: queue.cancel(5),
        lambda queue: queue.get_many("3"),
        lambda queue: queue.get(timeout=float("nan")),
        lambda queue: queue.put({"price": float("nan")}),
        lambda queue: queue.put([{"x": float("inf")}]),
        lambda queue: queue.put_many({"to": "a"}),
        lambda queue: queue.put_many("abc"),
    ],
)
def test_a_wrong_argument_is_named(url: str, call: Any) -> None:
    with Queue(url) as queue:
        queue.put(1)
        with pytest.raises(InvalidTask):
            call(queue)
        assert queue.stats().ready == 1


def test_a_wrong_command_does_not_fail_its_neighbours(url: str) -> None:
    broker = open_broker(url)
    good = [Put.make("q", f"t{n}", Payload(b"1")) for n in range(2)]
    bad = Purge(queue="q", states=("bogus",))  # type: ignore[arg-type]
    worse = Retry(queue="q", receipt="1.a.b", error=ValueError("x"))  # type: ignore[arg-type]
    outcomes = broker.apply([good[0], bad, worse, good[1]])
    broker.close()
    assert [type(outcome) for outcome in outcomes] == [Stored, InvalidTask, InvalidTask, Stored]


def test_the_data_of_a_record_is_json_and_its_payload_a_value(url: str) -> None:
    with Queue(url) as queue:
        queue.put({"n": 12345678901234567890})
        (record,) = queue.peek()
        assert bytes(record.data) == b'{"n":12345678901234567890}'
        assert record.payload() == {"n": 12345678901234567890}


def test_a_task_that_is_due_is_ready_for_whoever_looks(url: str) -> None:
    with Queue(url) as queue:
        queue.put("later", task_id="later", delay=0.05)
        queue.put("much later", delay=3600)
        threading.Event().wait(0.06)
        assert (queue.stats().ready, queue.stats().scheduled) == (1, 1)
        assert [record.task_id for record in queue.peek(2)] == ["later"]


@contextmanager
def ringing_under_the_lock(directory: Path) -> Iterator[None]:
    """Ring the bell of a store as another process would, and keep the store locked."""
    with open(directory / "Queue.json.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (directory / "Queue.json.bell").write_bytes(os.urandom(8))
        yield


@pytest.mark.asyncio
async def test_a_get_that_ends_passes_the_hint_on(tmp_path: Path) -> None:
    """The hint wakes one whose time is over before it has looked, as the store is locked just then."""
    async with AsyncQueue(f"json:///{tmp_path}/Queue.json") as queue:
        await queue.stats()
        short = [asyncio.create_task(queue.get(timeout=0.3)) for _ in range(2)]
        long = asyncio.create_task(queue.get())
        await asyncio.sleep(0.2)
        with ringing_under_the_lock(tmp_path):
            await asyncio.sleep(0.3)
        assert await asyncio.gather(*short) == [None, None]
        await queue.put(1)
        delivery = await asyncio.wait_for(long, 3)  # sooner than it would look by itself
        assert delivery is not None


def test_an_interrupted_flush_stores_all_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Queue(f"json:///{tmp_path}/Queue.json", flush_interval=3600) as queue:
        queue.put("first")
        futures = [queue.put_nowait(n) for n in range(5)]
        session = queue._session
        apply, calls = session.unwaited._apply, []

        def interrupted(commands: Any) -> Any:
            calls.append(commands)
            if len(calls) == 1:
                raise KeyboardInterrupt
            return apply(commands)

        monkeypatch.setattr(session.unwaited, "_apply", interrupted)
        with pytest.raises(KeyboardInterrupt):
            queue.flush()
        queue.flush()
        assert not any(future.result(timeout=20).duplicate for future in futures)
        assert queue.stats().ready == 6


CLOSED_BY_A_SIGNAL = """
import signal, sys, threading, os, time
from distqueue import Queue
queue = Queue(sys.argv[1])
queue.stats()
signal.signal(signal.SIGTERM, lambda *_: queue.close())
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
for delivery in queue:
    pass
print("ended")
"""


def test_a_signal_handler_may_close_the_queue(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_BY_A_SIGNAL, f"json:///{tmp_path}/Queue.json"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout == "ended\n", done.stderr


CLOSED_IN_A_COMMIT = """
import os, signal, sys, threading
from distqueue import Closed, Queue
queue = Queue(sys.argv[1])
queue.put("first")
signal.signal(signal.SIGTERM, lambda *_: queue.close())
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
try:
    while True:
        queue.put("more")
except Closed:
    print("ended")
"""


@pytest.mark.parametrize("scheme", ["json", "sqlite"])
def test_a_signal_handler_may_close_the_queue_in_a_commit(tmp_path: Path, scheme: str) -> None:
    command = [sys.executable, "-c", CLOSED_IN_A_COMMIT, f"{scheme}:///{tmp_path}/store"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "ended\n"


FORKED = """
import multiprocessing as mp, sys
from distqueue import Queue

def work():
    queue = Queue(sys.argv[1], flush_interval=3600)
    queue.put_nowait("unwaited")

if __name__ == "__main__":
    child = mp.get_context("fork").Process(target=work)
    child.start()
    child.join()
    with Queue(sys.argv[1]) as queue:
        print(queue.stats().ready)
"""


def test_an_unwaited_task_of_a_forked_worker_is_stored_at_its_end(tmp_path: Path) -> None:
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    done = subprocess.run(
        [sys.executable, str(script), f"json:///{tmp_path}/Queue.json"],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.stdout == "1\n", done.stderr
