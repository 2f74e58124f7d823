"""The loads of one process: it puts tasks for some time, then takes and acknowledges them."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final, NamedTuple

from distqueue.bench.contender import Subject
from distqueue.bench.samples import Sample, repeat

SMALLEST: Final = 32
"""The smallest payload, in bytes: the loads number their tasks."""
_WARM_UP: Final = 3


def payload(size: int) -> dict[str, Any]:
    """Return a payload of so many bytes as JSON (but for the digits of its numbers): who put it, and what."""
    empty = {"who": 0, "n": 0, "body": ""}
    return {**empty, "body": "x" * (size - len('{"who":0,"n":0,"body":""}'))}


class InTurn(NamedTuple):
    """One process puts, batch after batch, and then takes what it has put."""

    size: int
    batch: int
    publishers: int = 0
    consumers: int = 0

    def refusal(self, subject: Subject) -> str | None:
        """Say why this load cannot run on a subject; ``None`` if it can."""
        return too_many(subject, self.batch)

    def run(self, subject: Subject, seconds: float) -> list[Sample]:
        """Run it on a new store, each half of it for so many seconds."""
        batch = [payload(self.size)] * self.batch
        with subject.fresh() as opening, closing(opening()) as contender:
            for _ in range(_WARM_UP):
                contender.put(batch)
                contender.take(self.batch)

            def put() -> int:
                contender.put(batch)
                return self.batch

            return [
                repeat("put", put, seconds),
                repeat("get and ack", lambda: len(contender.take(self.batch)), seconds),
            ]


def too_many(subject: Subject, batch: int) -> str | None:
    """Say why a subject cannot take a batch; ``None`` if it can."""
    if subject.most_at_once is None or batch <= subject.most_at_once:
        return None
    return f"at most {subject.most_at_once} in a call"
