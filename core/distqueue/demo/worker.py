"""A publisher or a consumer of the demo: ``python -m distqueue.demo.worker PLAN``, ended by its input.

It says what it does on its output, a line each: ``p`` and the seconds that a put took once it was
acknowledged, ``h`` with the id, the number of the delivery and the task's age before it is acked.
"""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress
from typing import Literal

import msgspec

from distqueue import Queue
from distqueue.delivery import Delivery
from distqueue.errors import DistqueueError, LeaseLost


class Plan(msgspec.Struct, frozen=True):
    """What a worker does; ``tasks`` is for publishers, ``lease`` (seconds) for consumers."""

    role: Literal["publisher", "consumer"]
    number: int
    url: str
    queue: str
    tasks: int = 0
    lease: float = 3.0


def main(plan: Plan) -> None:
    """Do what the plan says."""
    with Queue(plan.url, plan.queue) as queue:
        if plan.role == "publisher":
            _publish(queue, plan)
        else:
            _consume(queue, plan.lease)


def _publish(queue: Queue, plan: Plan) -> None:
    for n in range(plan.tasks):
        began = time.perf_counter()
        stored = queue.put({"publisher": plan.number, "n": n, "at": time.time()})
        _say(f"p {stored.task_id} {time.perf_counter() - began:.6f}")


def _consume(queue: Queue, lease: float) -> None:
    while not select.select([sys.stdin], [], [], 0)[0]:
        delivery = queue.get(timeout=0.2, lease=lease)
        if delivery is not None:
            _handle(delivery)


def _handle(delivery: Delivery) -> None:
    age = time.time() - delivery.data["at"]
    _say(f"h {delivery.task_id} {delivery.deliveries} {age:.6f}")
    with suppress(LeaseLost):  # it was handed to another consumer meanwhile
        delivery.ack()


def _say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    try:
        main(msgspec.json.decode(sys.argv[1], type=Plan))
    except DistqueueError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
