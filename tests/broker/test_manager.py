"""A program that hosts a broker process: publishers and consumers, restarts, and the end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from pathlib import Path

import pytest

from distqueue import (
    AckTimeout,
    BrokerManager,
    Closed,
    ConfigError,
    Consumer,
    InvalidTask,
    Publisher,
    Queue,
    StoreDamaged,
    StoreMissing,
    TaskIn,
)
from distqueue_backends.lock import StoreLock

from .conftest import runs

pytestmark = pytest.mark.asyncio


async def test_a_task_goes_from_a_publisher_to_a_consumer(url: str) -> None:
    async with BrokerManager(url) as manager, Publisher(manager) as publisher, Consumer(manager) as consumer:
        task = TaskIn(data="Process this data", options={"priority": 3})
        assert (await publisher.publish(task)).task_id == task.task_id
        assert (await publisher.publish(task)).duplicate
        taken = await consumer.get(timeout=10)
        assert taken is not None
        assert (taken.data, taken.publisher_id, taken.priority) == ("Process this data", publisher.name, 3)
        assert set(manager.clients) == {publisher.name, consumer.name}
        await taken.ack()
        assert await consumer.get(timeout=0) is None
    assert manager.clients == {}
    assert manager.pid is None


async def test_an_acknowledged_task_is_in_the_file(url: str, tmp_path: Path) -> None:
    async with BrokerManager(url) as manager, Publisher(manager) as publisher:
        await publisher.publish_many(TaskIn(data=n, task_id=f"t{n}") for n in range(100))
        pid = manager.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # nothing more can be written
        text = (tmp_path / "Queue.json").read_text()
        os.kill(pid, signal.SIGCONT)
    ids = [
        task["id"] for commit in json.loads(text)["commits"] for op in commit["ops"] for task in op["tasks"]
    ]
    assert ids == [f"t{n}" for n in range(100)]


async def test_an_unwaited_task_is_stored_within_the_interval_and_at_the_close(url: str) -> None:
    async with BrokerManager(url) as manager, Consumer(manager) as consumer:
        async with Publisher(manager, flush_interval=0.05) as soon:
            stored = soon.publish_nowait(TaskIn(data="soon"))
            taken = await consumer.get(timeout=10)
            assert taken is not None
            assert taken.data == "soon"
            assert not (await stored).duplicate
        async with Publisher(manager, flush_interval=3600) as late:
            stored = late.publish_nowait(TaskIn(data="late"))
            await asyncio.sleep(0)
            assert not stored.done()
        assert not (await stored).duplicate
        taken = await consumer.get(timeout=0)
        assert taken is not None
        assert taken.data == "late"


async def test_clients_go_on_when_the_broker_process_is_killed(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    handled: set[object] = set()

    async def consume(consumer: Consumer) -> None:
        async for task in consumer:
            handled.add(task.data)
            await task.ack()

    async with BrokerManager(url) as manager, Publisher(manager) as publisher:
        async with Consumer(manager) as consumer:
            consuming = asyncio.create_task(consume(consumer))
            for n in range(300):
                if n % 100 == 50:
                    pid = manager.pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
                await publisher.publish(TaskIn(data=n))
            while len(handled) < 300:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await consuming
        assert manager.restarts == 3
    assert handled == set(range(300))
    assert caplog.text.count("died") == 3


async def test_a_stuck_broker_process_is_killed_and_replaced(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with BrokerManager(url, stuck_after=0.5) as manager, Publisher(manager) as publisher:
        await publisher.publish(TaskIn(data=1))
        stuck = manager.pid
        assert stuck is not None
        os.kill(stuck, signal.SIGSTOP)
        await publisher.publish(TaskIn(data=2))
        assert manager.pid != stuck
        assert not runs(stuck)
    assert "no sign of life" in caplog.text


async def test_no_acknowledgement_in_time_is_a_timeout(url: str) -> None:
    async with BrokerManager(url) as manager, Publisher(manager) as publisher:
        await publisher.publish(TaskIn(data="first"))
        publisher.ack_timeout = 0.2
        pid = manager.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        late = TaskIn(data="late")
        with pytest.raises(TimeoutError, match="publish it again") as caught:
            await publisher.publish(late)
        assert isinstance(caught.value, AckTimeout)
        os.kill(pid, signal.SIGCONT)
        publisher.ack_timeout = 30
        await publisher.publish(late)
        assert (await publisher.queue.stats()).ready == 2


async def test_the_end_answers_what_has_arrived(url: str) -> None:
    manager = BrokerManager(url)
    await manager.start()
    publisher = Publisher(manager)
    await publisher.publish(TaskIn(data="first"))
    many = asyncio.create_task(publisher.publish_many(TaskIn(data=n) for n in range(500)))
    for _ in range(5):  # until all have been asked for
        await asyncio.sleep(0)
    await publisher.close()
    assert len(await many) == 500
    await manager.close()
    with Queue(url, create=False) as queue:
        assert queue.stats().ready == 501


async def test_what_comes_after_the_close_is_refused(url: str) -> None:
    manager = BrokerManager(url)
    with pytest.raises(Closed, match="not started"):
        await Publisher(manager).publish(TaskIn(data=1))
    await manager.start()
    publisher = Publisher(manager)
    await publisher.publish(TaskIn(data=1))
    await manager.close()
    await manager.close()
    with pytest.raises(Closed, match="manager was closed"):
        await publisher.publish(TaskIn(data=2))
    await publisher.close()


async def test_run_serves_until_it_is_closed(url: str) -> None:
    manager = BrokerManager(url)
    running = asyncio.create_task(manager.run())
    while manager.pid is None or not manager.address:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await manager.close()
    await running
    assert manager.pid is None


async def test_a_store_that_cannot_be_served_is_an_error_of_start(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="no directory"):
        await BrokerManager(f"json:///{tmp_path}/nowhere/Queue.json").start()
    with pytest.raises(ConfigError, match="lock_timeout"):
        await BrokerManager(f"json:///{tmp_path}/Queue.json", lock_timeuot=3).start()


async def test_a_store_that_is_damaged_while_the_process_is_down_is_named(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    path = tmp_path / "Queue.json"
    async with BrokerManager(url, grace=0.1) as manager, Publisher(manager) as publisher:
        await publisher.publish(TaskIn(data="a" * 50))
        await publisher.publish(TaskIn(data="b" * 50))
        pid = manager.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        data = path.read_bytes()
        path.write_bytes(data.replace(b"aaaa", b"aaXa", 1))
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                await publisher.publish(TaskIn(data="c"))
            except StoreDamaged as error:
                assert "fsck" in str(error)  # noqa: PT017 - other errors may come before it
                break
            except Exception:  # noqa: BLE001, S110 - the process is on its way down
                pass
        else:
            pytest.fail("nobody said that the store is damaged")


async def test_a_publisher_has_an_id_and_may_be_cancelled(url: str) -> None:
    async with BrokerManager(url) as manager:
        async with Publisher(manager, publisher_id="web-1", ack_timeout=5) as publisher:
            publishing = asyncio.create_task(publisher.publish(TaskIn(data=1, task_id="one")))
            await asyncio.sleep(0)
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await publishing
            await publisher.publish(TaskIn(data=1, task_id="one"))
            record = await publisher.queue.find("one")
            assert record is not None
            assert record.publisher_id == "web-1"
        with pytest.raises(ConfigError, match="lock_timeout is not an option of a queue"):
            Publisher(manager, lock_timeout=3)


async def test_to_start_twice_is_the_same_as_once_and_never_after_the_close(url: str) -> None:
    async with BrokerManager(url) as manager:
        pid = manager.pid
        await manager.start()
        assert (manager.pid, manager.restarts) == (pid, 0)
    with pytest.raises(Closed, match="make another one"):
        await manager.start()


async def test_the_manager_s_close_stores_what_nobody_waited_for(url: str) -> None:
    manager = await BrokerManager(url).start()
    publisher = Publisher(manager, flush_interval=3600)
    stored = publisher.publish_nowait(TaskIn(data="late"))
    await manager.close()
    assert not (await stored).duplicate
    await publisher.close()
    with Queue(url, create=False) as queue:
        assert queue.stats().ready == 1


async def test_what_is_no_task_is_refused(url: str) -> None:
    async with BrokerManager(url) as manager, Publisher(manager) as publisher:
        with pytest.raises(InvalidTask, match="TaskIn"):
            await publisher.publish("text")  # type: ignore[arg-type]
    with pytest.raises(InvalidTask, match="ack_timeout"):
        Publisher(manager, ack_timeout="x")  # type: ignore[arg-type]


async def test_a_process_that_dies_while_it_starts_is_started_again(url: str) -> None:
    async with BrokerManager(url) as manager, Publisher(manager) as publisher:
        await publisher.publish(TaskIn(data=0))
        for n in range(1, 4):
            for _ in range(2):
                while (pid := manager.pid) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                os.kill(pid, signal.SIGKILL)
                while manager.pid == pid:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            await publisher.publish(TaskIn(data=n))
        assert (await publisher.queue.stats()).ready == 4


async def test_a_start_that_is_cancelled_leaves_no_process(url: str, tmp_path: Path) -> None:
    manager = BrokerManager(url)
    with StoreLock(f"{tmp_path}/Queue.json.lock", 10.0):  # which the process waits for
        starting = asyncio.create_task(manager.start())
        while (pid := manager.pid) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not runs(pid)
    with Queue(url) as queue:
        assert not queue.put("direct").duplicate
