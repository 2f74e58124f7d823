from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from traceback import walk_stack

import pytest

from distqueue import (
    Closed,
    ConfigError,
    InvalidTask,
    OutcomeUnknown,
    Queue,
    StoreFailed,
    StoreMissing,
    TaskNotFound,
    TaskState,
)
from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.commands import Claim, Command, Put
from distqueue.defaults import Defaults
from distqueue.groupcommit import GroupCommit
from distqueue.results import Outcome, Seen
from distqueue.session import Session
from distqueue_backends.memory import MemoryBackend

from .conftest import Until


def test_a_task_is_handed_out_with_all_that_it_was_put_with(queue: Queue) -> None:
    stored = queue.put({"n": 1}, headers={"a": "b"}, group="g", publisher_id="p", priority=4, max_attempts=2)
    delivery = queue.get(timeout=0)
    assert delivery is not None
    assert (delivery.task_id, delivery.data) == (stored.task_id, {"n": 1})
    assert (delivery.attempt, delivery.deliveries, delivery.max_attempts) == (1, 1, 2)
    assert (delivery.headers, delivery.group, delivery.publisher_id) == ({"a": "b"}, "g", "p")
    assert delivery.priority == 4
    assert delivery.put_at == pytest.approx(time.time(), abs=60)
    assert stored.task_id in delivery.receipt
    assert stored.task_id in repr(delivery)
    assert not delivery.lost


def test_an_empty_queue_gives_nothing_at_once_or_after_the_timeout(queue: Queue) -> None:
    assert queue.get(timeout=0) is None
    assert queue.get(timeout=timedelta(milliseconds=20)) is None
    assert queue.get_many(5, timeout=0.01) == []


def test_get_many_returns_what_there_is(queue: Queue) -> None:
    queue.put_many(range(3))
    assert [delivery.data for delivery in queue.get_many(10)] == [0, 1, 2]


def test_a_waiting_get_wakes_up_for_a_put(url: str, queue: Queue, pool: ThreadPoolExecutor) -> None:
    with Queue(url) as other:
        waiting = pool.submit(other.get)
        queue.put("now")
        delivery = waiting.result(10)
        assert delivery is not None
        assert delivery.data == "now"


def test_a_waiting_get_wakes_up_for_a_task_that_becomes_due(queue: Queue) -> None:
    queue.put("later", delay=0.05)
    delivery = queue.get(timeout=10)
    assert delivery is not None
    assert delivery.data == "later"


def test_a_waiting_get_wakes_up_when_a_lease_ends(queue: Queue) -> None:
    queue.put("x")
    first = queue.get(lease=0.05)
    second = queue.get(timeout=10)
    assert first is not None
    assert second is not None
    assert (first.task_id, first.attempt + 1) == (second.task_id, second.attempt)


def test_a_waiting_get_is_not_woken_by_other_queues(url: str, queue: Queue) -> None:
    with Queue(url, name="other") as other:
        other.put("theirs")
        assert queue.get(timeout=0.02) is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda queue: queue.get(lease=0),
        lambda queue: queue.get(lease="30"),
        lambda queue: queue.get_many(0),
        lambda queue: queue.get(timeout="soon"),
    ],
)
def test_a_claim_that_is_not_allowed_is_refused(queue: Queue, ask: Callable[[Queue], object]) -> None:
    with pytest.raises(InvalidTask):
        ask(queue)


def test_iteration_goes_on_until_another_thread_closes_the_queue(
    url: str, pool: ThreadPoolExecutor, until: Until
) -> None:
    queue = Queue(url)
    seen: list[int] = []

    def consume() -> str:
        for delivery in queue:
            with delivery:
                seen.append(delivery.data)
        return "ended"

    consuming = pool.submit(consume)
    queue.put_many([1, 2])
    until(lambda: seen == [1, 2])
    queue.put(3)
    until(lambda: seen == [1, 2, 3])
    queue.close()
    assert consuming.result(10) == "ended"


def test_closing_inside_the_loop_ends_it(url: str) -> None:
    queue = Queue(url)
    queue.put_many(range(3))
    for delivery in queue:
        delivery.ack()
        queue.close()


def test_closing_wakes_every_waiting_get(url: str, pool: ThreadPoolExecutor) -> None:
    queue = Queue(url)
    waiting = [pool.submit(queue.get) for _ in range(5)]
    until_all_wait = threading.Event()
    until_all_wait.wait(0.05)
    queue.close()
    for one in waiting:
        assert isinstance(one.exception(10), Closed)


def test_a_closed_queue_refuses_everything_and_can_be_closed_again(url: str) -> None:
    queue = Queue(url)
    queue.put(1)
    queue.close()
    queue.close()
    for ask in (queue.get, queue.stats, queue.flush, lambda: queue.put(1), lambda: next(queue)):
        with pytest.raises((Closed, StopIteration)):
            ask()


def test_a_queue_that_was_never_used_opens_nothing(tmp_path: Path) -> None:
    with Queue(f"json:///{tmp_path}/none/Queue.json"):
        pass


def test_a_missing_store_is_not_made_if_that_is_not_wanted(tmp_path: Path) -> None:
    with Queue(f"json:///{tmp_path}/Queue.json", create=False) as queue, pytest.raises(StoreMissing):
        queue.get(timeout=0)
    assert not list(tmp_path.iterdir())


def test_a_session_that_was_closed_opens_nothing_any_more() -> None:
    session = Session(MemoryBackend, "default", Defaults())
    session.close()
    with pytest.raises(Closed):
        session.apply([])
    assert not session.is_open


def test_what_is_wrong_with_the_url_or_an_option_is_said(url: str) -> None:
    with pytest.raises(ConfigError):
        Queue("no-such-thing")
    with pytest.raises(InvalidTask, match="queue name"):
        Queue(url, name="Not Allowed")
    with pytest.raises(ConfigError, match="lease"):
        Queue(url, lease="long")
    with pytest.raises(ConfigError, match="dedup_windw"), Queue(url, dedup_windw=5) as queue:
        queue.put(1)


def test_a_queue_has_defaults_of_its_own(url: str) -> None:
    with Queue(url, lease=0.03, max_attempts=1, keep_done=timedelta(hours=1)) as queue:
        queue.put("x", task_id="a")
        assert queue.get() is not None
        second = queue.get(timeout=0.2)
        assert second is None
        assert [task.task_id for task in queue.dead()] == ["a"]
        queue.redrive("a")
        delivery = queue.get(lease=30)
        assert delivery is not None
        delivery.ack()
        task = queue.find("a")
        assert task is not None
        assert task.state is TaskState.DONE


def test_looking_does_not_take(queue: Queue) -> None:
    queue.put_many(["a", "b"])
    assert len(queue.peek(5)) == 2
    assert len(queue.peek()) == 1
    assert queue.stats().ready == 2
    assert queue.stats().queue == "default"


def test_dead_tasks_are_listed_and_redriven(queue: Queue) -> None:
    queue.put_many(["a", "b", "c"])
    for delivery, error in zip(queue.get_many(3), ["no route", "bad address", "no route to host"]):
        delivery.reject(error)
    assert [task.error for task in queue.dead()] == ["no route", "bad address", "no route to host"]
    assert len(queue.dead(2)) == 2
    assert queue.redrive(error="no route").count == 2
    assert queue.redrive(queue.dead()[0].task_id).count == 1
    assert queue.redrive().count == 0
    with pytest.raises(TaskNotFound):
        queue.redrive("nobody")


def test_a_task_is_cancelled_whatever_its_state(queue: Queue) -> None:
    queue.put("x", task_id="a")
    assert queue.cancel("a") is TaskState.READY
    with pytest.raises(TaskNotFound):
        queue.cancel("a")


def test_purge_takes_all_or_those_in_some_states(queue: Queue) -> None:
    queue.put_many(["a", "b"])
    queue.put("c", delay=60)
    assert queue.purge(TaskState.SCHEDULED) == 1
    assert queue.purge() == 2
    assert queue.find("c") is None


def test_a_paused_queue_hands_nothing_out_until_it_is_resumed(queue: Queue, pool: ThreadPoolExecutor) -> None:
    queue.pause()
    queue.put("x")
    assert queue.stats().paused
    assert queue.get(timeout=0.02) is None
    waiting = pool.submit(queue.get)
    queue.resume()
    assert waiting.result(10) is not None


def test_capabilities_are_those_of_the_store(queue: Queue) -> None:
    assert isinstance(queue.capabilities(), Capabilities)
    assert queue.capabilities().priorities


def test_many_threads_get_each_task_once(queue: Queue, pool: ThreadPoolExecutor) -> None:
    queue.put_many(range(300))

    def work(_: int) -> list[int]:
        done = []
        while (delivery := queue.get(timeout=0)) is not None:
            delivery.ack()
            done.append(delivery.data)
        return done

    done = sorted(n for mine in pool.map(work, range(6)) for n in mine)
    assert done == list(range(300))


class Eventful(Broker):
    """A broker in which something happens right after a claim was carried out."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.inner = MemoryBackend()
        self.then = then

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = self.inner.apply(commands)
        if any(isinstance(command, Claim) and not command.again for command in commands):
            self.then()
        return outcomes

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self.inner.wait(queue, seen, timeout)

    def close(self) -> None:
        self.inner.close()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupted_get_gives_back_what_it_claimed() -> None:
    with Queue.over(GroupCommit(Eventful(interrupt))) as queue:
        queue.put_many(["a", "b"])
        with pytest.raises(KeyboardInterrupt):
            queue.get_many(2)
        assert queue.stats().leased == 0
        assert [task.deliveries for task in queue.peek(2)] == [1, 1]
        assert [task.attempt for task in queue.peek(2)] == [1, 1]


def unknown() -> None:
    raise OutcomeUnknown("the pipe broke")


def test_a_claim_with_an_unknown_outcome_is_given_back() -> None:
    with Queue.over(GroupCommit(Eventful(unknown))) as queue:
        queue.put("a")
        with pytest.raises(OutcomeUnknown, match="pipe"):
            queue.get()
        assert queue.stats().leased == 0


class Broken(Eventful):
    """Fails for good after its first claim."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if any(isinstance(command, Claim) and command.again for command in commands):
            raise StoreFailed("the disk is gone")
        return super().apply(commands)


def test_what_cannot_be_given_back_does_not_hide_the_interrupt(caplog: pytest.LogCaptureFixture) -> None:
    with Queue.over(GroupCommit(Broken(interrupt))) as queue:
        queue.put("a")
        with pytest.raises(KeyboardInterrupt):
            queue.get()
    assert "the disk is gone" in caplog.text


def waits(thread: int) -> bool:
    """Whether a thread is in the ``wait`` of a broker."""
    frames = [frame for frame, _ in walk_stack(sys._current_frames()[thread])]
    waits = [frame for frame in frames if frame.f_code.co_name == "wait"]
    return any(frame.f_globals["__name__"].startswith("distqueue") for frame in waits)


def test_an_interrupt_while_waiting_leaves_nothing_behind(
    queue: Queue, url: str, pool: ThreadPoolExecutor, until: Until
) -> None:
    queue.stats()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt_main() -> None:
        until(lambda: waits(main))
        signal.pthread_kill(main, signal.SIGINT)

    interrupting = pool.submit(interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        queue.get()
    interrupting.result(10)
    queue.put("x")
    assert queue.stats().leased == 0
    assert queue.get(timeout=0) is not None


def test_what_was_claimed_while_the_queue_was_being_closed_is_given_back(
    pool: ThreadPoolExecutor, until: Until
) -> None:
    claimed, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        claimed.set()
        go_on.wait(20)

    broker = Eventful(hold)
    broker.apply([Put(queue="default", task_id="a", data=b"1")])
    queue = Queue.over(GroupCommit(broker))
    getting = pool.submit(queue.get)
    assert claimed.wait(20)
    broker.inner.close, close = lambda: None, broker.inner.close  # type: ignore[method-assign]
    closing = pool.submit(queue.close)
    until(lambda: queue._is_closed)
    assert not closing.done()
    go_on.set()
    assert isinstance(getting.exception(10), Closed)
    closing.result(10)
    with Queue.over(GroupCommit(broker)) as reader:
        assert reader.stats().leased == 0
        assert reader.stats().ready == 1
    close()
