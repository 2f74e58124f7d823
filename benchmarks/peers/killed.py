"""What becomes of a task whose consumer is killed while it has it."""

from __future__ import annotations

import time
from contextlib import closing
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from benchmarks.peers.peer import LEASE
from distqueue.bench.contender import Opening, Subject
from distqueue.bench.crew import Crew
from distqueue.bench.loads import payload

PATIENCE: Final = 2 * LEASE
"""How long a task that was taken may take to come back, in seconds."""


class Fate(msgspec.Struct):
    """What was found; ``seconds`` is how long after the kill the task was handed out again, if it was."""

    store: str
    is_handed_out_again: bool
    is_in_store: bool
    seconds: float

    def __str__(self) -> str:
        if self.is_handed_out_again:
            return f"handed out again after {self.seconds:.1f} s"
        return f"in the store, not handed out in {PATIENCE:.0f} s" if self.is_in_store else "lost"


def kill_a_consumer(subject: Subject, size: int) -> Fate:
    """Put a task, kill the process that has claimed it, and see whether another one gets it."""
    with subject.fresh() as opening, Crew() as crew:
        with closing(opening()) as contender:
            contender.put([payload(size)])
        consumer = crew.add(_claim, opening)
        crew.hear(consumer)
        crew.kill(consumer)
        killed = time.monotonic()
        with closing(opening()) as contender:
            again = contender.take(1, PATIENCE)
            return Fate(subject.name, bool(again), contender.left() > 0, time.monotonic() - killed)


def _claim(pipe: Connection, opening: Opening) -> None:
    with closing(opening()) as contender:
        contender.claim(1, PATIENCE)
        pipe.send("claimed")
        pipe.recv()  # nothing comes: it is killed here
