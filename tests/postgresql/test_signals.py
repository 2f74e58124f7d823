"""Handlers of signals that raise in the middle of a call, as those of time limits do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import psycopg
import pytest

from distqueue import Queue
from tests.broker.conftest import wait_until
from tests.postgresql.test_loading import WAITERS


class TooLong(Exception):
    """What a time limit raises."""


@pytest.fixture
def _limit() -> Iterator[None]:
    """Let SIGALRM raise."""

    def limit(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, limit)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_limit")
@pytest.mark.parametrize(
    "call",
    [Queue.stats, lambda queue: queue.put(2), lambda queue: queue.get(timeout=0)],
    ids=["ask", "put", "get"],
)
@pytest.mark.parametrize("kind", [TooLong, KeyboardInterrupt])
def test_the_calls_after_it_are_carried_out(
    url: str, other: psycopg.Connection, call: Callable[[Queue], object], kind: type[BaseException]
) -> None:
    main = threading.main_thread().ident
    assert main is not None
    number = signal.SIGALRM if kind is TooLong else signal.SIGINT
    with Queue(url, lock_timeout=1) as queue, ThreadPoolExecutor(1) as thread:
        queue.put(1)
        other.execute("LOCK TABLE task, queue")

        def interrupt() -> None:
            wait_until(lambda: other.execute(WAITERS).fetchone() != (0,), "the call to be under way")
            signal.pthread_kill(main, number)

        interrupting = thread.submit(interrupt)
        with pytest.raises(kind):
            call(queue)
        interrupting.result()
        other.rollback()
        assert queue.stats().ready >= 1
        queue.put(3)
        assert {1, 3} <= {delivery.data for delivery in queue.get_many(9, timeout=0)}  # and 2, perhaps
