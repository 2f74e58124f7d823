"""One Queue.json, a broker process for it, a publisher and a consumer, step by step.

    python examples/single_json.py [PATH]

Without a path, ``Queue.json`` is made in a new temporary directory. Run it twice on one path: the task that
nobody waited for is still there.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile

from distqueue import BrokerManager, Consumer, Publisher, TaskIn
from distqueue.urls import StoreURL


async def main(url: StoreURL) -> None:
    """Publish two tasks and consume what was there by then."""
    # 1. The manager starts the broker process, which creates the file and keeps it locked.
    manager = BrokerManager(url)
    await manager.start()
    print(f"broker process {manager.pid} serves {manager.url}")

    # 2. A publisher has a pipe of its own to the broker process. The task has its id from here on.
    publisher = Publisher(manager)
    task = TaskIn(data="Process this data")

    # 3. The acknowledgement comes once the task is on the disk, or not in time.
    try:
        stored = await publisher.publish(task)
        print(f"acknowledged: task {stored.task_id} is on the disk")
    except TimeoutError:
        print(f"no acknowledgement of task {task.task_id} in time: it may be stored or not.")
        print("Publish the same task again; it is not stored twice.")

    # 4. A consumer takes tasks, in order, until there is none. Leaving the block acknowledges the task.
    consumer = Consumer(manager)
    while (taken := await consumer.get(timeout=0)) is not None:
        async with taken:
            print(f"consumed: {taken.data!r}, attempt {taken.attempt}, from {taken.publisher_id}")

    # 5. Unwaited: on the disk within two seconds, and at the latest when the publisher is closed.
    unwaited = publisher.publish_nowait(TaskIn(data="Nobody waits for this"))
    print(f"published without waiting; acknowledged: {unwaited.done()}")

    # 6. Close the clients, then the manager, which ends the broker process.
    await consumer.close()
    await publisher.close()
    print(f"acknowledged at the close: task {(await unwaited).task_id} is on the disk")
    await manager.close()
    print(f"all closed; see what is left: distqueue peek -u {manager.url}")


def store_at(path: str) -> StoreURL:
    """Return the URL of a file, whatever characters are in its path: ``json:////tmp/Queue.json``."""
    return StoreURL(scheme="json", path=os.path.abspath(path))


if __name__ == "__main__":
    place = sys.argv[1] if len(sys.argv) > 1 else os.path.join(tempfile.mkdtemp(), "Queue.json")
    asyncio.run(main(store_at(place)))
