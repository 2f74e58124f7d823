"""Four publishers and two consumers, each a process, on one store after the other, round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds
from benchmarks.peers.huey import SETTINGS as HUEY
from benchmarks.peers.litequeue import SETTINGS as LITEQUEUE
from benchmarks.peers.ours import BACKENDS, Ours
from benchmarks.peers.peer import Setting
from distqueue.bench.contender import Subject
from distqueue.bench.processes import Together
from distqueue.bench.samples import Counts, Sample

ROUNDS: Final = 3
SECONDS: Final = 4.0
JSON, SERVED, SQLITE, SHARDED = BACKENDS
LITEQUEUE_FULL = LITEQUEUE[1]
HUEY_FSYNC = HUEY[0]
_LOAD: Final = Together(200, 1, 4, 2)


class Shared(NamedTuple):
    """One round: what was put and what was handled, by all together."""

    published: Sample
    handled: Sample

    @property
    def counts(self) -> Counts:
        """What became of the tasks."""
        assert self.published.counts is not None
        return self.published.counts


def share(subject: Subject) -> Shared:
    """Let all of them run on a new store, drain it, and count."""
    return Shared(*_LOAD.run(subject, SECONDS))


def compare(
    title: str,
    subjects: dict[str, Subject],
    benchmark: BenchmarkFixture,
    report: Callable[[str, str, str], None],
) -> None:
    """Run the load on each, and report the first against the others."""
    found: dict[str, list[Shared]] = {name: [] for name in subjects}

    def each_round() -> None:
        for name, subject in subjects.items():
            found[name].append(share(subject))

    run_rounds(benchmark, each_round, ROUNDS)
    (_, ours), *others = found.items()
    for what in ("published", "handled"):
        rates = _rates(ours, what)
        report(
            f"{title}: {what}",
            f"{median(rates):,.0f} tasks/s",
            ", ".join(_against(rates, name, _rates(theirs, what)) for name, theirs in others),
        )
    report(
        "… lost, doubled, slowest publisher",
        f"{_counts(ours)} of the fastest",
        ", ".join(f"{name} {_counts(theirs)}" for name, theirs in others),
    )
    assert not any(one.counts.lost or one.counts.doubled for one in ours)


def subjects_in(folder: Path) -> dict[str, Subject]:
    """Return what is compared, by the name that it has in the table."""
    known: dict[str, Ours | Setting] = {
        "served": SERVED,
        "direct": JSON,
        "sqlite": SQLITE,
        "sharded": SHARDED,
        "litequeue FULL": LITEQUEUE_FULL,
        "huey fsync": HUEY_FSYNC,
    }
    return {name: entry.subject(str(folder)) for name, entry in known.items()}


def _rates(rounds: Sequence[Shared], what: str) -> list[float]:
    samples: list[Sample] = [getattr(one, what) for one in rounds]
    return [sample.rate for sample in samples]


def _against(ours: Sequence[float], name: str, theirs: Sequence[float]) -> str:
    return f"{median(a / b for a, b in zip(ours, theirs)):.2f} × {name} ({median(theirs):,.0f})"


def _counts(rounds: Sequence[Shared]) -> str:
    counts = [one.counts for one in rounds]
    return (
        f"{sum(each.lost for each in counts)}, {sum(each.doubled for each in counts)}, "
        f"{min(each.slowest_of_fastest for each in counts):.2f}"
    )
