"""A few tests through the clients that users have: what they add works on this backend too."""

from __future__ import annotations

import asyncio

from distqueue.async_queue import AsyncQueue
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject
from distqueue.queue import Queue
from distqueue.results import Stored
from distqueue.task import TaskState


class Clients(Subject):
    """The clients."""

    @clause(
        "CLIENT-1",
        "a queue puts, hands out and acks tasks",
        look="apply answering in another order than asked, or ack not removing the task that find reads",
    )
    def test_a_queue_works(self) -> None:
        with Queue(self.store, name=self.queue) as queue:
            stored = queue.put({"n": 1}, task_id="it")
            assert (stored.task_id, stored.duplicate) == ("it", False)
            assert queue.put({"n": 1}, task_id="it").duplicate
            delivery = queue.get(timeout=self.patience)
            assert delivery is not None
            assert delivery.data == {"n": 1}
            with delivery:
                pass
            assert queue.find("it") is None
            assert queue.get(timeout=0) is None

    @clause(
        "CLIENT-2",
        "a handler that fails has its task retried, with its error",
        look="retry must store the error text as it is, any character, and count the attempt",
    )
    def test_a_failing_handler_has_its_task_retried(self) -> None:
        with Queue(self.store, name=self.queue) as queue:
            queue.put(1, task_id="it")
            delivery = queue.get(timeout=self.patience)
            assert delivery is not None
            with delivery:
                raise ValueError("ä failure")
            record = queue.find("it")
            assert record is not None
            assert record.error is not None
            assert "ä failure" in record.error
            assert record.attempt == 2

    @clause(
        "CLIENT-3",
        "tasks that are put without waiting are there when the queue is closed",
        look="close of a broker: does a call that is still running get carried out and answered?",
    )
    def test_unwaited_tasks_are_stored(self) -> None:
        with Queue(self.store, name=self.queue) as queue:
            futures = [queue.put_nowait(number) for number in range(20)]
        assert len({future.result(self.patience).task_id for future in futures}) == 20
        assert self.stats().ready == 20

    @clause(
        "CLIENT-4",
        "an async queue does the same",
        look="wait and apply from different threads: a lock held during wait stops the put that would end it",
    )
    def test_an_async_queue_works(self) -> None:
        async def main() -> None:
            async with AsyncQueue(self.store, name=self.queue) as queue:
                waiting = asyncio.create_task(queue.get(timeout=self.patience))
                await asyncio.sleep(0)
                await queue.put([1, 2], task_id="it")
                delivery = await waiting
                assert delivery is not None
                assert delivery.data == [1, 2]
                async with delivery:
                    pass
                assert await queue.find("it") is None
                await asyncio.gather(*(queue.put(number) for number in range(20)))

        asyncio.run(main())
        assert self.stats().ready == 20

    @clause(
        "CLIENT-5",
        "a cancelled get gives back what it claimed",
        look="release of a task right after its claim: from another thread, at its old place",
    )
    def test_a_cancelled_get_gives_back(self) -> None:
        async def main() -> None:
            async with AsyncQueue(self.store, name=self.queue) as queue:
                for number in range(10):
                    waiting = asyncio.create_task(queue.get(timeout=self.patience))
                    await asyncio.sleep(0)
                    await queue.put(number, task_id=f"t{number}")
                    waiting.cancel()
                    await asyncio.wait([waiting])
                    if not waiting.cancelled():
                        delivery = waiting.result()
                        assert delivery is not None
                        await delivery.release()

        asyncio.run(main())
        assert [self.state(f"t{number}") for number in range(10)] == [TaskState.READY] * 10

    @clause(
        "CLIENT-6",
        "a delivery that is worked on for longer than its lease is nobody else's, as the lease is renewed",
        look="extend from another thread, while others claim: from now on, as long as it was asked for",
        slow=True,
    )
    def test_a_lease_is_renewed(self) -> None:
        lease = max(2.0, self.moment * 10)
        with Queue(self.store, name=self.queue) as queue:
            queue.put(1, task_id="it")
            delivery = queue.get(timeout=self.patience, lease=lease)
            assert delivery is not None
            with delivery:
                self.pass_time(lease * 1.25)
                others = self.claim()
            assert others == []
            assert queue.find("it") is None

    @clause(
        "CLIENT-7",
        "of coroutines that ask together each gets its own answer, whichever of the others are cancelled",
        look="calls that are carried out together: the answers go by position, those of the cancelled too",
    )
    def test_coroutines_are_told_apart(self) -> None:
        async def main() -> None:
            async with AsyncQueue(self.store, name=self.queue) as queue:
                for turn in range(10):
                    names = [f"t{turn}.{number}" for number in range(12)]
                    puts = [asyncio.create_task(queue.put(name, task_id=name)) for name in names]
                    await asyncio.sleep(0)  # now all are on their way
                    for put in puts[::3]:
                        put.cancel()
                    answers = await asyncio.gather(*puts, return_exceptions=True)
                    for name, answer in zip(names, answers):
                        assert isinstance(answer, asyncio.CancelledError) or answer == Stored(task_id=name)

        asyncio.run(main())
        assert self.stats().ready == 120
