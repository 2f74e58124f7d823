from __future__ import annotations

import asyncio
import threading
from asyncio import CancelledError
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import msgspec
import pytest
import pytest_asyncio

from distqueue import (
    AsyncDelivery,
    AsyncQueue,
    BatchRefused,
    Closed,
    ConfigError,
    InvalidTask,
    PayloadMismatch,
    Queue,
    Refused,
    Stored,
    TaskNotFound,
    TaskState,
    UniqueTaken,
)
from distqueue.commands import Claim, Command
from distqueue.results import Outcome, Seen
from distqueue_backends.memory import MemoryBackend

from .coroutines import settle_down, waiters

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def queue(url: str) -> AsyncIterator[AsyncQueue]:
    async with AsyncQueue(url) as queue:
        yield queue
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- Publishing ---------------------------------------------------------------------------------


async def test_a_task_goes_in_and_comes_out(queue: AsyncQueue) -> None:
    stored = await queue.put({"n": 1}, headers={"a": "b"}, priority=3, delay=timedelta(0))
    delivery = await queue.get(timeout=0)
    assert delivery is not None
    assert (delivery.task_id, delivery.data, delivery.headers) == (stored.task_id, {"n": 1}, {"a": "b"})
    await delivery.ack()
    assert await queue.find(stored.task_id) is None


async def test_refusals_are_raised(queue: AsyncQueue) -> None:
    await queue.put("one", task_id="a", unique="k")
    with pytest.raises(PayloadMismatch):
        await queue.put("two", task_id="a")
    with pytest.raises(UniqueTaken):
        await queue.put("two", unique="k")
    with pytest.raises(InvalidTask):
        await queue.put("two", delay=-1)
    with pytest.raises(Refused):
        await queue.get(lease=0)


async def test_many_are_stored_and_the_error_tells_which_are_not(queue: AsyncQueue) -> None:
    assert len(await queue.put_many(range(100))) == 100
    with pytest.raises(BatchRefused) as refusal:
        await queue.put_many(["a", {1}, queue.task("b", priority=99), queue.task("c", priority=9)])
    assert [type(outcome) for outcome in refusal.value.outcomes] == [Stored, InvalidTask, InvalidTask, Stored]
    assert msgspec.json.decode((await queue.peek())[0].data) == "c"


async def test_what_nobody_waits_for_is_stored_later(url: str) -> None:
    async with AsyncQueue(url, flush_interval=3600) as queue:
        first, second = queue.put_nowait("first"), queue.put_nowait("second")
        assert second.cancel()
        await settle_down()
        assert (await queue.stats()).ready == 0
        await queue.flush()
        assert not (await first).duplicate
        last = queue.put_nowait("last")
    assert not (await last).duplicate
    with pytest.raises(Closed):
        queue.put_nowait("late")


async def test_what_nobody_waits_for_is_stored_within_the_interval(url: str) -> None:
    async with AsyncQueue(url, flush_interval=0.01) as queue:
        await asyncio.wait_for(queue.put_nowait("soon"), 10)


class Held(MemoryBackend):
    """Counts the commands of each call; a call can be held in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.began = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        self.sizes.append(len(commands))
        if self.fault is not None:
            raise self.fault
        outcomes = super().apply(commands)
        self.began.set()
        self.gate.wait(20)
        return outcomes

    def hold(self) -> None:
        self.gate.clear()
        self.began.clear()

    async def is_held(self) -> None:
        assert await asyncio.to_thread(self.began.wait, 20)


async def test_what_coroutines_ask_for_during_a_commit_becomes_the_next_one() -> None:
    backend = Held()
    async with AsyncQueue.over(backend) as queue:
        backend.hold()
        first = asyncio.create_task(queue.put("first"))
        await backend.is_held()
        others = [asyncio.create_task(queue.put(n)) for n in range(50)]
        await settle_down()
        backend.gate.set()
        await asyncio.gather(first, *others)
        assert backend.sizes == [1, 50]


async def test_an_error_of_the_store_reaches_every_coroutine() -> None:
    backend = Held()
    async with AsyncQueue.over(backend) as queue:
        backend.fault = OSError("unplugged")
        faults = await asyncio.gather(*[queue.put(n) for n in range(5)], return_exceptions=True)
        assert [type(fault) for fault in faults] == [OSError] * 5
        assert len({id(fault) for fault in faults}) == 5
        backend.fault = None
        await queue.put("works again")


async def test_a_store_that_cannot_be_opened_fails_all_who_ask(url: str) -> None:
    async with AsyncQueue(url, dedup_windw=1) as queue:
        faults = await asyncio.gather(queue.put(1), queue.get(), queue.stats(), return_exceptions=True)
        assert [type(fault) for fault in faults] == [ConfigError] * 3
        with pytest.raises(ConfigError):
            await queue.capabilities()


async def test_a_cancelled_put_that_was_under_way_is_stored_and_its_neighbours_get_their_answers() -> None:
    backend = Held()
    async with AsyncQueue.over(backend) as queue:
        backend.hold()
        putting = asyncio.create_task(queue.put("x"))
        await backend.is_held()
        gathered = [asyncio.create_task(queue.put(n)) for n in range(3)]
        await settle_down()
        for one in (putting, gathered[1]):
            one.cancel()
        backend.gate.set()
        results = await asyncio.gather(putting, *gathered, return_exceptions=True)
        assert [type(result) for result in results] == [CancelledError, Stored, CancelledError, Stored]
        assert (await queue.stats()).ready == 4


# --- Consuming ----------------------------------------------------------------------------------


async def test_an_empty_queue_gives_nothing_at_once_or_after_the_timeout(queue: AsyncQueue) -> None:
    assert await queue.get(timeout=0) is None
    assert await queue.get_many(3, timeout=timedelta(milliseconds=20)) == []


async def test_waiting_gets_wake_up_one_for_each_task(queue: AsyncQueue) -> None:
    waiting = [asyncio.create_task(queue.get()) for _ in range(20)]
    while not waiters():  # noqa: ASYNC110 - nothing tells that a thread has begun
        await asyncio.sleep(0.01)
    await queue.put_many(range(20))
    deliveries = await asyncio.wait_for(asyncio.gather(*waiting), 20)
    assert sorted(delivery.data for delivery in deliveries if delivery) == list(range(20))
    assert waiters() == 1


async def test_waiting_gets_wake_up_for_single_puts_and_due_tasks(url: str, queue: AsyncQueue) -> None:
    waiting = [asyncio.create_task(queue.get(timeout=20)) for _ in range(3)]
    with Queue(url) as other:
        await asyncio.sleep(0.02)
        other.put("due", delay=0.1)
        other.put("now")
        await asyncio.sleep(0.02)
        other.put("then")
    deliveries = await asyncio.gather(*waiting)
    assert {delivery.data for delivery in deliveries if delivery} == {"due", "now", "then"}


async def test_an_idle_waiting_get_asks_the_store_once() -> None:
    backend = Held()
    async with AsyncQueue.over(backend) as queue:
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0.3)
        assert backend.sizes == [1]
        waiting.cancel()


async def test_iteration_goes_on_until_the_queue_is_closed(url: str) -> None:
    queue = AsyncQueue(url)
    seen: asyncio.Queue[int] = asyncio.Queue()

    async def consume() -> str:
        async for delivery in queue:
            async with delivery:
                seen.put_nowait(delivery.data)
        return "ended"

    consuming = [asyncio.create_task(consume()) for _ in range(3)]
    await queue.put_many(range(5))
    assert sorted([await seen.get() for _ in range(5)]) == [0, 1, 2, 3, 4]
    await queue.close()
    assert await asyncio.gather(*consuming) == ["ended"] * 3
    with pytest.raises(Closed):
        await queue.get()
    await queue.close()


async def test_a_closed_queue_lets_waiting_gets_raise(url: str) -> None:
    async with AsyncQueue(url) as queue:
        waiting = [asyncio.create_task(queue.get()) for _ in range(5)]
        await asyncio.sleep(0.02)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [Closed] * 5


async def test_administration_is_awaited(queue: AsyncQueue) -> None:
    await queue.put_many(["a", "b"])
    await queue.put("c", task_id="c", delay=60)
    deliveries = await queue.get_many(2)
    await deliveries[0].reject("no route")
    assert [task.error for task in await queue.dead()] == ["no route"]
    assert (await queue.redrive(error="route")).count == 1
    assert await queue.cancel("c") is TaskState.SCHEDULED
    with pytest.raises(TaskNotFound):
        await queue.cancel("c")
    await queue.pause()
    assert (await queue.stats()).paused
    assert await queue.get(timeout=0) is None
    await queue.resume()
    assert await queue.purge(TaskState.READY) == 1
    assert await queue.purge() == 1
    assert (await queue.capabilities()).pause


# --- Giving back --------------------------------------------------------------------------------


async def test_a_get_cancelled_while_claiming_gives_back_what_it_claimed() -> None:
    backend = Held()
    async with AsyncQueue.over(backend) as queue:
        await queue.put_many(["a", "b"])
        backend.hold()
        getting = asyncio.create_task(queue.get_many(2))
        await backend.is_held()
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        backend.gate.set()
        assert [delivery.attempt for delivery in await queue.get_many(2, timeout=20)] == [1, 1]


async def test_a_get_cancelled_after_its_claim_was_answered_gives_it_back() -> None:
    async with AsyncQueue.over(MemoryBackend()) as queue:
        for steps in range(12):
            await queue.put(steps)
            getting = asyncio.create_task(queue.get())
            await asyncio.sleep(0.01 if steps == 11 else 0)
            for _ in range(steps):
                await asyncio.sleep(0)
            getting.cancel()
            (result,) = await asyncio.gather(getting, return_exceptions=True)
            if isinstance(result, AsyncDelivery):
                await result.release()
            delivery = await queue.get(timeout=20)
            assert delivery is not None
            assert delivery.data == steps
            await delivery.ack()


async def test_under_a_rain_of_cancellations_only_what_was_handed_out_is_leased(queue: AsyncQueue) -> None:
    await queue.put_many(range(100))
    for number in range(60):
        taken: list[AsyncDelivery] = []
        getting = [asyncio.create_task(collect(queue, taken)) for _ in range(10)]
        await asyncio.sleep(0.0001 * (number % 11))
        for n, one in enumerate(getting):
            if (n + number) % 3:
                one.cancel()
            if n % 4 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.0005)
        for one in getting:
            one.cancel()
        await asyncio.gather(*getting, return_exceptions=True)
        await queue.stats()  # what was given back has been submitted by now
        assert (await queue.stats()).leased == len(taken)
        for delivery in taken:
            await delivery.release()
    assert (await queue.stats()).ready == 100


async def collect(queue: AsyncQueue, taken: list[AsyncDelivery]) -> None:
    while True:
        if (delivery := await queue.get()) is not None:
            taken.append(delivery)


async def test_a_cancelled_waiting_get_passes_its_wake_up_on(queue: AsyncQueue) -> None:
    for _ in range(30):
        first = asyncio.create_task(queue.get())
        second = asyncio.create_task(queue.get())
        await asyncio.sleep(0.003)
        await queue.put("x")
        first.cancel()
        results = await asyncio.wait_for(asyncio.gather(first, second, return_exceptions=True), 20)
        deliveries = [result for result in results if isinstance(result, AsyncDelivery)]
        for delivery in deliveries:
            await delivery.ack()
        assert len(deliveries) == 1


async def test_a_claim_under_way_at_the_close_is_given_back() -> None:
    backend = Held()
    queue = AsyncQueue.over(backend)
    await queue.put("x", task_id="a")
    backend.hold()
    getting = asyncio.create_task(queue.get())
    await backend.is_held()
    closing = asyncio.create_task(queue.close())
    await settle_down()
    assert not closing.done()
    backend.gate.set()
    await closing
    with pytest.raises(Closed):
        await getting
    task = MemoryBackend.find(backend, "default", "a")
    assert task is not None
    assert task.state is TaskState.READY


async def test_waiting_with_a_timeout_of_asyncio_loses_nothing(queue: AsyncQueue) -> None:
    for n in range(40):
        putting = asyncio.create_task(queue.put(n))
        try:
            async with asyncio.timeout(0.0002 * (n % 9)):
                delivery = await queue.get()
        except TimeoutError:
            await putting
            delivery = await queue.get(timeout=20)
        await putting
        assert delivery is not None
        assert delivery.data == n
        await delivery.ack()


class Sleepless(MemoryBackend):
    """Fails to wait."""

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        raise OSError("no bell")


async def test_a_store_that_cannot_wait_fails_the_waiting_gets() -> None:
    async with AsyncQueue.over(Sleepless()) as queue:
        faults = await asyncio.gather(queue.get(), queue.get(), return_exceptions=True)
        assert [type(fault) for fault in faults] == [OSError] * 2


async def test_a_repeated_claim_is_never_needed_to_give_back() -> None:
    """Backends need not support it."""

    class NoReclaim(Held):
        def apply(self, commands: Sequence[Command]) -> list[Outcome]:
            assert not any(isinstance(command, Claim) and command.again for command in commands)
            return super().apply(commands)

    backend = NoReclaim()
    async with AsyncQueue.over(backend) as queue:
        await queue.put("a")
        backend.hold()
        getting = asyncio.create_task(queue.get())
        await backend.is_held()
        getting.cancel()
        await settle_down()
        backend.gate.set()
        assert await queue.get(timeout=20) is not None
