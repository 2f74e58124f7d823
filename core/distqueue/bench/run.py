"""Carries a measuring out: every load on every store in every round, and adds up what was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from distqueue.bench import report
from distqueue.bench.contender import Subject
from distqueue.bench.raw import Limit
from distqueue.bench.report import BenchReport, LimitFound, Measure, Skipped
from distqueue.bench.samples import WAKE_UP, Sample

ROUNDS: Final = 5
"""So many times everything is done. Machines speed up and slow down: stores are compared round by round."""


class Load(Protocol):
    """What a store is given to do."""

    @property
    def size(self) -> int:
        """Bytes of a payload."""

    @property
    def batch(self) -> int:
        """Tasks in a call."""

    @property
    def publishers(self) -> int:
        """Processes that put; 0 if one process does all in turn."""

    @property
    def consumers(self) -> int:
        """Processes that get and ack."""

    def refusal(self, subject: Subject) -> str | None:
        """Say why it cannot run on a store; ``None`` if it can."""

    def run(self, subject: Subject, seconds: float) -> list[Sample]:
        """Run it once, for so many seconds."""


class Bench:
    """Stores and loads, and what was found so far."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        loads: Sequence[Load],
        limits: Sequence[Limit],
        directory: str,
        seconds: float,
        rounds: int = ROUNDS,
    ) -> None:
        """``directory`` is where limits are measured; ``seconds`` are those of a measure, in all rounds."""
        self._subjects = subjects
        self._loads = loads
        self._limits = limits
        self._directory = directory
        self._seconds = seconds
        self._rounds = rounds
        self._samples: dict[tuple[int, str, str], list[Sample]] = defaultdict(list)
        self._limit_samples: dict[int, list[Sample]] = defaultdict(list)
        self.total = rounds * (len(loads) * len(subjects) + len(limits))
        """How many steps there are."""

    def run(self, on_progress: Callable[[int], None], file_system: str) -> BenchReport:
        """Carry it out; ``on_progress`` is told how many steps are done.

        Raises:
            DistqueueError: a store failed, or a process.
        """
        date, done = report.now(), 0
        for _ in range(self._rounds):
            for number, limit in enumerate(self._limits):
                self._limit_samples[number].append(limit.run(self._directory, self._each))
                on_progress(done := done + 1)
            for number, load in enumerate(self._loads):
                for subject in self._subjects:
                    if load.refusal(subject) is None:
                        for sample in load.run(subject, self._each):
                            self._samples[number, sample.measure, subject.name].append(sample)
                    on_progress(done := done + 1)
        return BenchReport(
            date=date,
            seconds=self._seconds,
            rounds=self._rounds,
            versions=report.versions(),
            machine=report.machine(file_system),
            measures=self._measures(),
            limits=[self._found(number) for number in range(len(self._limits))],
            skipped=self._skipped(),
        )

    @property
    def _each(self) -> float:
        return self._seconds / self._rounds

    def _measures(self) -> list[Measure]:
        durability = {subject.name: subject.durability for subject in self._subjects}
        first: dict[tuple[int, str], list[Sample]] = {}
        measures = []
        for (number, measure, store), samples in sorted(self._samples.items(), key=_place):
            load = self._loads[number]
            calls, p50, p99 = report.percentiles(samples)
            rates = None if measure == WAKE_UP else report.spread([sample.rate for sample in samples])
            measures.append(
                Measure(
                    store=store,
                    durability=durability[store],
                    measure=measure,
                    size=load.size,
                    batch=load.batch,
                    publishers=load.publishers,
                    consumers=load.consumers,
                    tasks_per_second=rates,
                    bytes_per_second=None if rates is None else rates.median * load.size,
                    calls=calls,
                    p50=p50,
                    p99=p99,
                    ratio=report.ratio(samples, first.setdefault((number, measure), samples)),
                    outcome=report.outcome(samples),
                )
            )
        return measures

    def _found(self, number: int) -> LimitFound:
        samples = self._limit_samples[number]
        calls, p50, p99 = report.percentiles(samples)
        return LimitFound(
            limit=self._limits[number].name,
            size=self._limits[number].size,
            per_second=report.spread([sample.rate for sample in samples]),
            calls=calls,
            p50=p50,
            p99=p99,
        )

    def _skipped(self) -> list[Skipped]:
        return [
            Skipped(subject.name, load.size, load.batch, load.publishers, load.consumers, reason)
            for load in self._loads
            for subject in self._subjects
            if (reason := load.refusal(subject)) is not None
        ]


def _place(entry: tuple[tuple[int, str, str], list[Sample]]) -> tuple[int, bool]:
    """Order measures load by load, what is put before what is got; stores as they were given."""
    (number, measure, _), _ = entry
    return number, not measure.startswith("put")
