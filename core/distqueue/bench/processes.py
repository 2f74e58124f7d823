"""Publishers and consumers, each a process, on one store; then it is drained, and every task counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

from distqueue.bench.contender import Contender, Opening, Subject
from distqueue.bench.crew import Crew, ready
from distqueue.bench.loads import payload, too_many
from distqueue.bench.samples import Counts, Sample

IDLE: Final = 3.0
"""A task that is in the store but not handed out for so long is stuck, in seconds."""
DRAIN: Final = 60.0
"""How long draining may take altogether, in seconds; what is left then is stuck too."""
_WAIT: Final = 0.1
_DRAINED_AT_ONCE: Final = 1000


class Done(NamedTuple):
    """What a process did."""

    tasks: list[tuple[int, int]]
    calls: list[float]
    errors: int
    error: str


class Together(NamedTuple):
    """So many publishers and consumers share a store."""

    size: int
    batch: int
    publishers: int
    consumers: int

    def refusal(self, subject: Subject) -> str | None:
        """Say why this load cannot run on a subject; ``None`` if it can."""
        if not subject.is_shared:
            return "processes cannot share it"
        return too_many(subject, self.batch)

    def run(self, subject: Subject, seconds: float) -> list[Sample]:
        """Let all of them work for so many seconds on a new store; then drain it and count."""
        with subject.fresh() as opening:
            opening().close()  # so that they need not make the store all at once
            done = self._work(opening, seconds)
            published, handled = done[: self.publishers], done[self.publishers :]
            with closing(opening()) as contender:
                rest = drain(contender, subject.most_at_once or _DRAINED_AT_ONCE)
                counts = counted(published, handled, rest, contender.left())
        samples = [("put by all", published), ("get and ack by all", handled)]
        return [
            Sample(
                measure,
                sum(len(part.tasks) for part in parts),
                seconds,
                [call for part in parts for call in part.calls],
                counts,
            )
            for measure, parts in samples
        ]

    def _work(self, opening: Opening, seconds: float) -> list[Done]:
        with Crew() as crew:
            for number in range(self.publishers):
                crew.add(_publish, opening, number, self.size, self.batch)
            for _ in range(self.consumers):
                crew.add(_consume, opening, self.batch)
            crew.begin(seconds)
            return crew.results(seconds)


def drain(contender: Contender, at_once: int) -> list[tuple[int, int]]:
    """Take out everything that is handed out, and return which tasks that was."""
    taken: list[tuple[int, int]] = []
    end = time.monotonic() + DRAIN
    patience = time.monotonic() + IDLE
    while time.monotonic() < min(patience, end):
        if some := contender.take(at_once, _WAIT):
            taken += named(some)
            patience = time.monotonic() + IDLE
        elif not contender.left():
            break
    return taken


def named(payloads: Sequence[Any]) -> list[tuple[int, int]]:
    """Return which tasks these are: who put each, and the how manieth of theirs it is."""
    return [(data["who"], data["n"]) for data in payloads]


def counted(
    published: Sequence[Done], handled: Sequence[Done], rest: Sequence[tuple[int, int]], left: int
) -> Counts:
    """Hold what was handed out, then and while draining, against what was acknowledged."""
    times = Counter([*(task for part in handled for task in part.tasks), *rest])
    acknowledged = [task for part in published for task in part.tasks]
    missing = sum(task not in times for task in acknowledged)
    each = [len(part.tasks) for part in published]
    failed = [part for part in (*published, *handled) if part.errors]
    return Counts(
        acknowledged=len(acknowledged),
        handled=sum(len(part.tasks) for part in handled),
        lost=missing - min(missing, left),
        doubled=sum(count > 1 for count in times.values()),
        stuck=min(missing, left),
        slowest_of_fastest=min(each) / max(each) if max(each) else 0.0,
        errors=sum(part.errors for part in failed),
        error=failed[0].error if failed else "",
    )


def _publish(pipe: Connection, opening: Opening, number: int, size: int, batch: int) -> None:
    base = payload(size)
    with closing(opening()) as contender:
        end = ready(pipe)
        done = Done([], [], 0, "")
        n = 0
        while (began := time.monotonic()) < end:
            tasks = [{**base, "who": number, "n": n + each} for each in range(batch)]
            n += batch
            try:
                contender.put(tasks)
            except Exception as error:  # noqa: BLE001 - a peer's own; it is counted and shown
                done = _failed(done, error)
                continue
            done.calls.append(time.monotonic() - began)
            done.tasks.extend(named(tasks))
        pipe.send(done)


def _consume(pipe: Connection, opening: Opening, batch: int) -> None:
    with closing(opening()) as contender:
        end = ready(pipe)
        done = Done([], [], 0, "")
        while (began := time.monotonic()) < end:
            try:
                tasks = contender.take(batch, min(_WAIT, end - began))
            except Exception as error:  # noqa: BLE001 - as above
                done = _failed(done, error)
                continue
            if tasks:
                done.calls.append(time.monotonic() - began)
                done.tasks.extend(named(tasks))
        pipe.send(done)


def _failed(done: Done, error: Exception) -> Done:
    return done._replace(errors=done.errors + 1, error=done.error or f"{type(error).__name__}: {error}")
