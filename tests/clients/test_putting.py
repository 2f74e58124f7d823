from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from distqueue import (
    BatchRefused,
    Closed,
    InvalidTask,
    PayloadMismatch,
    Queue,
    Refused,
    Stored,
    TaskRecord,
    TaskState,
    TooLarge,
    UniqueTaken,
)
from distqueue.capabilities import Capabilities
from distqueue.commands import Stats
from distqueue.limits import MAX_BATCH_BYTES, MAX_PAYLOAD
from distqueue_backends.memory import MemoryBackend


def found(queue: Queue, task_id: str) -> TaskRecord:
    task = queue.find(task_id)
    assert task is not None
    return task


def test_a_task_is_stored_with_its_payload_and_an_id_of_its_own(queue: Queue) -> None:
    stored = queue.put({"to": "a@example.org"})
    assert not stored.duplicate
    task = found(queue, stored.task_id)
    assert msgspec.json.decode(task.data) == {"to": "a@example.org"}
    assert task.state is TaskState.READY


def test_every_option_reaches_the_store(queue: Queue) -> None:
    queue.put(
        [1],
        task_id="mine",
        delay=timedelta(minutes=2),
        priority=7,
        max_attempts=None,
        expires_in=timedelta(hours=1),
        keep_done=60,
        group="g",
        unique="u",
        publisher_id="p",
        headers={"traceparent": "00"},
    )
    task = found(queue, "mine")
    assert task.until is not None
    assert task.until == pytest.approx(task.put_at + 120, abs=1)
    assert task.expires_at == pytest.approx(task.put_at + 3600, abs=1)
    assert (task.priority, task.max_attempts, task.keep_done) == (7, None, 60)
    assert (task.group, task.unique, task.publisher_id) == ("g", "u", "p")
    assert task.headers == {"traceparent": "00"}


def test_due_is_a_point_in_time_in_any_time_zone(queue: Queue) -> None:
    when = datetime.now(UTC) + timedelta(hours=1)
    queue.put(1, task_id="utc", due=when)
    queue.put(1, task_id="local", due=when.astimezone(timezone(timedelta(hours=9))))
    assert found(queue, "utc").until == pytest.approx(when.timestamp())
    assert found(queue, "local").until == pytest.approx(when.timestamp())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"due": datetime(2030, 1, 1)}, "no time zone"),
        ({"due": 1.5e9}, "due"),
        ({"delay": "5"}, "delay"),
        ({"delay": -1}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"delay": 1, "due": datetime(2030, 1, 1, tzinfo=UTC)}, "both"),
        ({"priority": "high"}, "priority"),
        ({"priority": 32}, "priority"),
        ({"priority": True}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": "5"}, "max_attempts"),
        ({"headers": {"a": 1}}, "headers"),
        ({"group": 5}, "group"),
        ({"task_id": "with space"}, "task id"),
    ],
)
def test_an_option_that_is_not_allowed_is_refused_and_nothing_is_stored(
    queue: Queue, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(InvalidTask, match=what):
        queue.put(1, **options)
    assert queue.stats().ready == queue.stats().scheduled == 0


def test_an_unknown_option_is_a_type_error_that_names_the_known_ones(queue: Queue) -> None:
    with pytest.raises(TypeError, match=r"no option 'prio'.*priority"):
        queue.put(1, prio=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no option 'queue'"):
        queue.put(1, queue="other")  # type: ignore[call-arg]


def test_a_payload_that_is_not_json_is_refused(queue: Queue) -> None:
    with pytest.raises(InvalidTask, match="JSON"):
        queue.put({1, 2})
    with pytest.raises(TooLarge):
        queue.put("x" * (MAX_PAYLOAD + 1))


def test_the_same_id_twice_is_a_duplicate_and_another_payload_a_refusal(queue: Queue) -> None:
    assert queue.put("one", task_id="a") == Stored(task_id="a")
    assert queue.put("one", task_id="a") == Stored(task_id="a", duplicate=True)
    with pytest.raises(PayloadMismatch):
        queue.put("two", task_id="a")


def test_a_taken_unique_key_names_its_holder(queue: Queue) -> None:
    first = queue.put(1, unique="k")
    with pytest.raises(UniqueTaken) as refusal:
        queue.put(2, unique="k")
    assert refusal.value.task_id == first.task_id


def test_many_are_stored_in_order_with_common_options(queue: Queue) -> None:
    stored = queue.put_many(({"n": n} for n in range(2500)), priority=3)
    assert len({one.task_id for one in stored}) == 2500
    assert [task.task_id for task in queue.peek(2500)] == [one.task_id for one in stored]
    assert {task.priority for task in queue.peek(2500)} == {3}


def test_a_task_made_beforehand_keeps_its_own_options_among_many(queue: Queue) -> None:
    special = queue.task("special", task_id="s", priority=9)
    assert queue.find("s") is None
    queue.put_many(["plain", special], priority=1)
    assert found(queue, "s").priority == 9
    assert [task.priority for task in queue.peek(2)] == [9, 1]


def test_many_with_one_task_id_are_refused(queue: Queue) -> None:
    with pytest.raises(InvalidTask, match=r"queue\.task"):
        queue.put_many([1, 2], task_id="a")


def test_of_many_the_good_ones_are_stored_and_the_error_tells_which_are_not(queue: Queue) -> None:
    queue.put("taken", unique="k")
    items = ["a", {1}, queue.task("b", unique="k"), "c"]
    with pytest.raises(BatchRefused, match="2 of 4") as refusal:
        queue.put_many(items)
    kinds = [type(outcome) for outcome in refusal.value.outcomes]
    assert kinds == [Stored, InvalidTask, UniqueTaken, Stored]
    assert isinstance(refusal.value, Refused)
    assert [msgspec.json.decode(task.data) for task in queue.peek(9)] == ["taken", "a", "c"]


def test_none_at_all_is_stored_without_asking_the_store(queue: Queue) -> None:
    assert queue.put_many([]) == []


class SmallBatches(MemoryBackend):
    """A store that takes three commands at a time."""

    largest = 0

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(super().capabilities, max_batch=3)

    def apply(self, commands: Any) -> Any:
        self.largest = max(self.largest, len(commands))
        return super().apply(commands)


def test_many_are_split_at_the_limit_of_the_store() -> None:
    backend = SmallBatches()
    with Queue.over(backend) as queue:
        assert len(queue.put_many(range(10))) == 10
        assert queue.stats().ready == 10
    assert backend.largest == 3


def test_many_are_split_at_the_limit_of_bytes() -> None:
    text = "x" * (MAX_PAYLOAD - 2)
    count = MAX_BATCH_BYTES // MAX_PAYLOAD + 5
    with Queue("memory://") as queue:
        assert len(queue.put_many(text for _ in range(count))) == count


def test_what_nobody_waits_for_is_stored_within_the_interval(url: str) -> None:
    with Queue(url, flush_interval=0.02) as queue:
        future = queue.put_nowait({"n": 1}, priority=2)
        stored = future.result(10)
        assert found(queue, stored.task_id).priority == 2
        assert queue.put_nowait({"n": 2}).result(10).task_id != stored.task_id


def test_what_nobody_waits_for_is_stored_at_a_flush_in_order(url: str) -> None:
    with Queue(url, flush_interval=3600) as queue:
        futures = [queue.put_nowait(n) for n in range(5)]
        assert queue.stats().ready == 0
        queue.flush()
        assert all(future.done() for future in futures)
        assert [msgspec.json.decode(task.data) for task in queue.peek(9)] == [0, 1, 2, 3, 4]


def test_what_nobody_waits_for_is_stored_at_the_close(url: str) -> None:
    with Queue(url) as reader:
        reader.stats()
        with Queue(url, flush_interval=3600) as queue:
            future = queue.put_nowait("x")
        assert future.result(0).task_id == reader.peek()[0].task_id
        with pytest.raises(Closed):
            queue.put_nowait("late")


def test_a_future_cancelled_in_time_is_not_stored(url: str) -> None:
    with Queue(url, flush_interval=3600) as queue:
        first, second = queue.put_nowait("first"), queue.put_nowait("second")
        assert first.cancel()
        queue.flush()
        assert [task.task_id for task in queue.peek(9)] == [second.result(0).task_id]


def test_a_refusal_that_nobody_waits_for_reaches_the_future_and_the_log(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Queue(url, flush_interval=3600) as queue:
        queue.put("one", task_id="a")
        good, bad = queue.put_nowait("good"), queue.put_nowait("two", task_id="a")
        queue.flush()
        assert not good.result(0).duplicate
        with pytest.raises(PayloadMismatch):
            bad.result(0)
    assert "not stored" in caplog.text


def test_so_many_unwaited_tasks_that_a_batch_is_full_do_not_wait_for_the_interval(url: str) -> None:
    with Queue(url, flush_interval=3600) as queue:
        futures = [queue.put_nowait(n) for n in range(1000)]
        for future in futures:
            future.result(10)
        assert queue.stats().ready == 1000


def test_threads_put_at_the_same_time_and_each_keeps_its_order(
    queue: Queue, pool: ThreadPoolExecutor
) -> None:
    def work(name: int) -> Iterator[str]:
        return iter([queue.put({"by": name, "n": n}).task_id for n in range(50)])

    by_thread = [list(done) for done in pool.map(work, range(8))]
    line = [task.task_id for task in queue.peek(1000)]
    assert len(line) == 400
    for mine in by_thread:
        assert [task_id for task_id in line if task_id in set(mine)] == mine


def test_a_broker_is_closed_with_a_queue_that_was_never_used() -> None:
    broker = MemoryBackend()
    Queue.over(broker).close()
    with pytest.raises(Closed):
        broker.apply([Stats(queue="default")])
