from __future__ import annotations

import logging
from datetime import timedelta
from typing import NoReturn

import pytest

from distqueue import (
    AlreadySettled,
    Backoff,
    Closed,
    Delivery,
    LeaseLost,
    Queue,
    TaskGone,
    TaskState,
    UniqueTaken,
)


@pytest.fixture
def delivery(queue: Queue) -> Delivery:
    queue.put({"n": 1}, task_id="a", keep_done=3600)
    delivery = queue.get(timeout=0)
    assert delivery is not None
    return delivery


def state(queue: Queue) -> TaskState:
    task = queue.find("a")
    assert task is not None
    return task.state


def error(queue: Queue) -> str | None:
    task = queue.find("a")
    assert task is not None
    return task.error


def test_an_acked_task_is_done(queue: Queue, delivery: Delivery) -> None:
    assert delivery.ack().state is TaskState.DONE
    assert state(queue) is TaskState.DONE


def test_follow_up_tasks_are_stored_with_the_ack(queue: Queue, url: str, delivery: Delivery) -> None:
    with Queue(url, name="next") as following:
        settled = delivery.ack(then=[queue.task("b", task_id="b"), following.task("c", priority=3)])
        assert settled.then[0].task_id == "b"
        assert queue.peek()[0].task_id == "b"
        assert following.peek()[0].priority == 3


def test_a_refused_follow_up_task_leaves_the_delivery_unsettled(queue: Queue, delivery: Delivery) -> None:
    queue.put("other", unique="k")
    with delivery:
        with pytest.raises(UniqueTaken):
            delivery.ack(then=[queue.task("b", unique="k")])
        assert state(queue) is TaskState.LEASED
    assert state(queue) is TaskState.DONE


def test_a_retried_task_waits_as_long_as_it_is_told(queue: Queue, delivery: Delivery) -> None:
    settled = delivery.retry(delay=timedelta(minutes=1), error="no route")
    assert settled.state is TaskState.SCHEDULED
    assert error(queue) == "no route"


def test_a_task_retried_without_delay_waits_as_the_backoff_of_the_queue_says(url: str) -> None:
    with Queue(url, retry=Backoff(first=500, jitter=0)) as queue:
        stored = queue.put(1)
        delivery = queue.get()
        assert delivery is not None
        delivery.retry()
        task = queue.find(stored.task_id)
        assert task is not None
        assert task.until is not None
        assert task.until - task.put_at == pytest.approx(500, abs=60)


def test_a_released_task_keeps_its_attempt(queue: Queue, delivery: Delivery) -> None:
    delivery.release()
    again = queue.get(timeout=0)
    assert again is not None
    assert (again.attempt, again.deliveries) == (1, 2)


def test_a_task_released_with_a_delay_waits_and_keeps_its_attempt(queue: Queue, delivery: Delivery) -> None:
    settled = delivery.release(delay=timedelta(minutes=1))
    assert settled.state is TaskState.SCHEDULED
    assert queue.get(timeout=0) is None
    task = queue.find(delivery.task_id)
    assert task is not None
    assert (task.until, task.attempt, task.failures) == (settled.until, 1, ())


def test_the_error_and_the_traceback_are_noted(queue: Queue, delivery: Delivery) -> None:
    delivery.retry(delay=0, error="no route", traceback="line 7")
    again = queue.get(timeout=0)
    assert again is not None
    with again:
        raise ValueError("bad address")
    last = queue.find(delivery.task_id)
    assert last is not None
    told, caught = last.failures
    assert (told.attempt, told.verb, told.error, told.traceback) == (1, "retry", "no route", "line 7")
    assert (caught.attempt, caught.error) == (2, "ValueError: bad address")
    assert caught.traceback is not None
    assert caught.traceback.startswith("Traceback (most recent call last)")
    assert 'raise ValueError("bad address")' in caught.traceback


def test_a_rejected_task_is_dead(queue: Queue, delivery: Delivery) -> None:
    delivery.reject("no such user")
    assert state(queue) is TaskState.DEAD
    assert error(queue) == "no such user"


def test_an_extended_lease_ends_later(queue: Queue, delivery: Delivery) -> None:
    before = queue.find("a")
    settled = delivery.extend(timedelta(hours=1))
    assert before is not None
    assert before.until is not None
    assert settled.until is not None
    assert settled.until - before.until == pytest.approx(3570, abs=25)


def test_settling_twice_is_refused_unless_it_is_the_same_verb(delivery: Delivery) -> None:
    delivery.ack()
    delivery.ack()
    with pytest.raises(AlreadySettled):
        delivery.reject()


def test_a_stale_receipt_settles_nothing(queue: Queue) -> None:
    queue.put(1)
    first = queue.get(lease=0.01)
    second = queue.get(timeout=10)
    assert first is not None
    assert second is not None
    with pytest.raises(LeaseLost):
        first.ack()
    with pytest.raises(LeaseLost):
        first.extend()
    assert first.lost
    second.ack()


def test_a_cancelled_task_says_so(queue: Queue, delivery: Delivery) -> None:
    queue.cancel("a")
    with pytest.raises(TaskGone):
        delivery.ack()


def test_the_end_of_with_acks(queue: Queue, delivery: Delivery) -> None:
    with delivery as inside:
        assert inside is delivery
        assert delivery.data == {"n": 1}
        assert state(queue) is TaskState.LEASED
    assert state(queue) is TaskState.DONE


def fail() -> NoReturn:
    raise ValueError("bad address")


def test_an_exception_is_logged_recorded_retried_and_not_raised_again(
    queue: Queue, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    with delivery:
        fail()
    assert state(queue) is TaskState.SCHEDULED
    assert error(queue) == "ValueError: bad address"
    (record,) = caplog.records
    assert record.name == "distqueue"
    assert record.levelno == logging.ERROR
    assert "a failed in attempt 1" in record.getMessage()
    assert record.exc_info is not None
    assert "in fail" in caplog.text


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_releases_and_is_raised(
    queue: Queue, delivery: Delivery, kind: type[BaseException]
) -> None:
    with pytest.raises(kind), delivery:
        raise kind
    assert state(queue) is TaskState.READY
    assert queue.peek()[0].attempt == 1


def test_an_interrupt_is_raised_even_if_the_release_fails(
    delivery: Delivery, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt() -> None:
        queue.close()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), delivery:
        interrupt()
    assert "could not be settled" in caplog.text


def test_settled_inside_the_exit_settles_nothing(queue: Queue, delivery: Delivery) -> None:
    with delivery:
        delivery.reject("never")
    assert state(queue) is TaskState.DEAD


def test_an_exception_after_settling_is_logged_and_settles_nothing(
    queue: Queue, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    with delivery:
        delivery.ack()
        fail()
    assert state(queue) is TaskState.DONE
    assert "bad address" in caplog.text


def test_a_lost_lease_at_the_exit_is_a_warning(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    queue.put(1)
    delivery = queue.get(lease=30)
    assert delivery is not None
    with delivery:
        queue.cancel(delivery.task_id)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert delivery.task_id in caplog.text


def test_any_other_trouble_at_the_exit_is_raised(queue: Queue, delivery: Delivery) -> None:
    with pytest.raises(Closed), delivery:
        queue.close()
