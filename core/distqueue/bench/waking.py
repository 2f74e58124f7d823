"""How long a task takes from the call of put to a consumer in another process that waits for one."""

from __future__ import annotations

import time
from contextlib import closing
from multiprocessing.connection import Connection
from statistics import median
from typing import Final, NamedTuple

from distqueue.bench.contender import Opening, Subject
from distqueue.bench.crew import Crew
from distqueue.bench.loads import payload
from distqueue.bench.samples import WAKE_UP, Sample

_ASLEEP: Final = 0.03
"""How long the consumer is left alone before each put, so that it waits by then, in seconds."""
_WAIT: Final = 1.0


class Waking(NamedTuple):
    """One process puts a task now and then, another one waits for it."""

    size: int
    batch: int = 1
    publishers: int = 1
    consumers: int = 1

    def refusal(self, subject: Subject) -> str | None:
        """Say why this load cannot run on a subject; ``None`` if it can."""
        return None if subject.is_shared else "processes cannot share it"

    def run(self, subject: Subject, seconds: float) -> list[Sample]:
        """Put tasks for so many seconds, and return how long each took; the median stands for the rate."""
        task = payload(self.size)
        calls: list[float] = []
        with subject.fresh() as opening, closing(opening()) as contender, Crew() as crew:
            consumer = crew.add(_wait_for_tasks, opening)
            crew.hear(consumer)
            end = time.monotonic() + seconds
            while not calls or time.monotonic() < end:
                time.sleep(_ASLEEP)
                began = time.monotonic()
                contender.put([task])
                calls.append(crew.hear(consumer) - began)
        return [Sample(WAKE_UP, 1, median(calls), calls)]


def _wait_for_tasks(pipe: Connection, opening: Opening) -> None:
    """Say when each task arrives; killed when the load ends."""
    with closing(opening()) as contender:
        contender.left()  # opens the store
        pipe.send("ready")
        while True:
            if contender.claim(1, _WAIT):
                pipe.send(time.monotonic())
                contender.ack()
