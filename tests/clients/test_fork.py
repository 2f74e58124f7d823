"""Queues in pre-forking servers: made in the parent, used in the children."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from distqueue import CarriedAcrossFork, Delivery, Queue
from distqueue_backends.memory import MemoryBackend
from tests.forking import in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"json:///{tmp_path}/Queue.json"


def test_a_queue_made_before_the_fork_works_in_parent_and_child(queue: Queue) -> None:
    in_child(lambda: queue.put("from the child"))
    queue.put("from the parent")
    assert [delivery.data for delivery in queue.get_many(5)] == ["from the child", "from the parent"]


def test_an_open_queue_is_opened_anew_by_the_child_and_left_alone_in_the_parent(queue: Queue) -> None:
    queue.put(1)

    def work() -> None:
        delivery = queue.get(timeout=0)
        assert delivery is not None
        with delivery:
            queue.put(2)
        queue.close()

    in_child(work)
    delivery = queue.get(timeout=0)
    assert delivery is not None
    assert delivery.data == 2
    delivery.ack()


def test_unwaited_tasks_of_the_parent_are_stored_by_the_parent_alone(url: str) -> None:
    with Queue(url, flush_interval=3600) as queue:
        future = queue.put_nowait("mine")
        in_child(queue.flush)
        in_child(queue.close)
        assert not future.done()
        queue.flush()
        assert not future.result(0).duplicate


@pytest.mark.parametrize("verb", [Delivery.ack, Delivery.retry, Delivery.extend, Delivery.__enter__])
def test_a_delivery_carried_into_another_process_is_refused(
    queue: Queue, verb: Callable[[Delivery], object]
) -> None:
    queue.put(1)
    delivery = queue.get()
    assert delivery is not None

    def work() -> None:
        with pytest.raises(CarriedAcrossFork):
            verb(delivery)

    in_child(work)
    delivery.ack()


def test_a_broker_carried_into_another_process_is_refused() -> None:
    with Queue.over(MemoryBackend()) as queue:
        queue.put(1)

        def work() -> None:
            with pytest.raises(CarriedAcrossFork):
                queue.put(2)

        in_child(work)
        assert queue.stats().ready == 1


def test_unwaited_tasks_are_stored_when_a_program_ends_without_closing(url: str) -> None:
    program = f"""
        from distqueue import Queue
        queue = Queue({url!r}, flush_interval=3600)
        queue.put_nowait("last words")
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(program)], check=True)
    with Queue(url) as queue:
        assert queue.stats().ready == 1


def test_unwaited_tasks_are_not_stored_when_a_forked_child_ends(url: str) -> None:
    program = f"""
        import os
        from distqueue import Queue
        queue = Queue({url!r}, flush_interval=3600)
        future = queue.put_nowait("mine")
        if pid := os.fork():
            assert os.waitpid(pid, 0)[1] == 0
            assert queue.stats().ready == 0
            queue.close()
            assert not future.result(0).duplicate
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
