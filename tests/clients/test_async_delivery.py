"""Deliveries that coroutines settle, and what their end does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

import pytest
import pytest_asyncio

from distqueue import (
    AsyncDelivery,
    AsyncQueue,
    LeaseLost,
    Queue,
    Stored,
    TaskState,
)

from .coroutines import settle_down, state

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def queue(url: str) -> AsyncIterator[AsyncQueue]:
    async with AsyncQueue(url) as queue:
        yield queue
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest_asyncio.fixture
async def delivery(queue: AsyncQueue) -> AsyncDelivery:
    await queue.put(1, task_id="a", keep_done=3600)
    delivery = await queue.get(timeout=0)
    assert delivery is not None
    return delivery


@pytest.mark.parametrize(
    ("settle", "expected"),
    [
        (lambda delivery: delivery.ack(), TaskState.DONE),
        (lambda delivery: delivery.retry(60, "later"), TaskState.SCHEDULED),
        (lambda delivery: delivery.release(), TaskState.READY),
        (lambda delivery: delivery.release(delay=60), TaskState.SCHEDULED),
        (lambda delivery: delivery.reject("never", traceback="line 7"), TaskState.DEAD),
        (lambda delivery: delivery.extend(60), TaskState.LEASED),
    ],
)
async def test_every_verb_settles(
    queue: AsyncQueue,
    delivery: AsyncDelivery,
    settle: Callable[[AsyncDelivery], Awaitable[object]],
    expected: TaskState,
) -> None:
    await settle(delivery)
    assert await state(queue, "a") is expected


async def test_follow_up_tasks_are_stored_with_the_ack(queue: AsyncQueue, delivery: AsyncDelivery) -> None:
    settled = await delivery.ack(then=[queue.task("b", task_id="b")])
    assert settled.then == (Stored(task_id="b"),)


async def test_the_end_of_async_with_acks(queue: AsyncQueue, delivery: AsyncDelivery) -> None:
    async with delivery as inside:
        assert inside is delivery
    assert await state(queue, "a") is TaskState.DONE


def fail() -> NoReturn:
    raise ValueError("bad address")


async def test_an_exception_is_logged_recorded_retried_and_not_raised_again(
    queue: AsyncQueue, delivery: AsyncDelivery, caplog: pytest.LogCaptureFixture
) -> None:
    async with delivery:
        fail()
    task = await queue.find("a")
    assert task is not None
    assert (task.state, task.error) == (TaskState.SCHEDULED, "ValueError: bad address")
    assert "in fail" in caplog.text


async def test_cancellation_inside_releases_and_goes_on(queue: AsyncQueue, delivery: AsyncDelivery) -> None:
    async def handle() -> None:
        async with delivery:
            await asyncio.Event().wait()

    handling = asyncio.create_task(handle())
    await settle_down()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert await state(queue, "a") is TaskState.READY


async def test_settled_inside_the_exit_settles_nothing(queue: AsyncQueue, delivery: AsyncDelivery) -> None:
    async with delivery:
        await delivery.reject("never")
    assert await state(queue, "a") is TaskState.DEAD


async def test_a_lost_lease_is_raised_by_the_verb_and_a_warning_at_the_exit(
    queue: AsyncQueue, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.put(1)
    first = await queue.get(lease=0.01)
    second = await queue.get(timeout=10)
    assert first is not None
    assert second is not None
    with pytest.raises(LeaseLost):
        await first.ack()
    async with second:
        await queue.cancel(second.task_id)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_the_lease_is_renewed_even_while_the_loop_is_blocked(url: str, queue: AsyncQueue) -> None:
    await queue.put(1)
    delivery = await queue.get(lease=1.5)
    assert delivery is not None
    with Queue(url) as other:
        async with delivery:
            assert other.get(timeout=2) is None
        assert other.stats().ready == 0
