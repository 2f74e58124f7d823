"""Event loops that come and go around one store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading

from distqueue import AsyncQueue, Queue, TaskState
from distqueue_backends.memory import MemoryBackend


def test_one_queue_after_another_in_one_loop_after_another(url: str) -> None:
    async def work(n: int) -> object:
        async with AsyncQueue(url) as queue:
            await queue.put(n)
            delivery = await queue.get(timeout=10)
            assert delivery is not None
            await delivery.ack()
            return delivery.data

    with Queue(url) as keeper:
        keeper.stats()
        assert [asyncio.run(work(n)) for n in range(3)] == [0, 1, 2]


def test_one_queue_may_be_used_in_several_loops_one_after_another(url: str) -> None:
    queue = AsyncQueue(url)

    async def work() -> list[object]:
        getting = [asyncio.create_task(queue.get(timeout=10)) for _ in range(3)]
        await asyncio.sleep(0.01)
        await queue.put_many(range(3))
        deliveries = [delivery for delivery in await asyncio.gather(*getting) if delivery]
        for delivery in deliveries:
            async with delivery:
                pass
        return sorted(delivery.data for delivery in deliveries)

    assert [asyncio.run(work()) for _ in range(3)] == [[0, 1, 2]] * 3
    asyncio.run(queue.close())


def test_a_loop_that_ends_with_gets_waiting_leaves_the_queue_usable(url: str) -> None:
    queue = AsyncQueue(url)

    async def abandon() -> None:
        waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0.02)
        assert not any(one.done() for one in waiting)

    async def work() -> object:
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0.02)
        await queue.put("x")
        delivery = await asyncio.wait_for(waiting, 20)  # a get with a timeout looks once more at its end
        return delivery and delivery.data

    asyncio.run(abandon())
    assert asyncio.run(work()) == "x"
    asyncio.run(queue.close())


class Held(MemoryBackend):
    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def apply(self, commands):  # type: ignore[no-untyped-def]
        outcomes = super().apply(commands)
        self.began.set()
        self.gate.wait(20)
        return outcomes


def test_what_was_claimed_for_a_loop_that_is_gone_is_given_back() -> None:
    backend = Held()
    queue = AsyncQueue.over(backend)

    async def abandon() -> None:
        await queue.put("x", task_id="a")
        backend.gate.clear()
        backend.began.clear()
        _unfinished.add(asyncio.create_task(queue.get()))
        await asyncio.to_thread(backend.began.wait, 20)

    async def state() -> TaskState | None:
        task = await queue.find("a")
        return None if task is None else task.state

    asyncio.run(abandon())
    backend.gate.set()
    assert asyncio.run(state()) is TaskState.READY
    asyncio.run(queue.close())


_unfinished: set[asyncio.Task[object]] = set()


def test_a_program_interrupted_in_the_middle_ends_quietly(url: str) -> None:
    """No warning, no thread that keeps it alive, and the task is back in line."""
    program = f"""
        import asyncio, os, signal
        from distqueue import AsyncQueue

        async def main():
            asyncio.get_running_loop().slow_callback_duration = 60
            async with AsyncQueue({url!r}) as queue:
                await queue.put(1, task_id="a")
                async for delivery in queue:
                    async with delivery:
                        os.kill(os.getpid(), signal.SIGINT)
                        await asyncio.sleep(60)

        try:
            asyncio.run(main(), debug=True)
        except KeyboardInterrupt:
            print("interrupted")
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", textwrap.dedent(program)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "interrupted\n"
    assert done.stderr == ""
    if url.startswith("json:"):
        with Queue(url) as queue:
            assert [task.task_id for task in queue.peek(5)] == ["a"]
