"""What a run of the suite showed, as data: one JSON file a run."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from distqueue.capabilities import Capabilities


class Fact(StrEnum):
    """What a test notes about itself."""

    CLAUSE = "distqueue.clause"
    STATE = "distqueue.state"
    REASON = "distqueue.reason"
    FINDING = "distqueue.finding"
    ENGINE = "distqueue.engine"
    CAPABILITIES = "distqueue.capabilities"


class State(StrEnum):
    """What became of a clause, the worst last: that is what a clause with several tests is."""

    PASS = "PASS"  # noqa: S105 - no password
    REFUSED = "REFUSED"
    """Not declared, and refused with nothing stored."""
    NOT_RUN = "NOT RUN"
    """Nothing is known: the harness cannot do what it asks, or it was left out."""
    FLAKY = "FLAKY"
    """It failed, and did not fail again. It is not passed."""
    FAIL = "FAIL"


_BAD: Final = (State.FLAKY, State.FAIL)


class ClauseResult(msgspec.Struct, kw_only=True):
    """What became of one clause: ``tests`` are how many were run for it, ``reason`` is of the worst."""

    clause: str
    state: State
    tests: int = 1
    reason: str = ""

    def add(self, state: State, reason: str) -> None:
        """Add another test of the clause."""
        self.tests += 1
        order = list(State)
        if order.index(state) > order.index(self.state):
            self.state, self.reason = state, reason


class SubjectReport(msgspec.Struct, kw_only=True):
    """What the suite found of one backend, reached in one way.

    ``name`` is the test class, ``backend`` the distribution and its version; ``findings`` is support that is
    there and not declared.
    """

    name: str
    url: str
    backend: str
    engine: str = ""
    capabilities: Capabilities | None = None
    clauses: dict[str, ClauseResult] = {}
    findings: list[str] = []

    def count(self, state: State) -> int:
        """Return how many clauses are in a state."""
        return sum(1 for each in self.clauses.values() if each.state is state)

    @property
    def is_broken(self) -> bool:
        """Whether a clause failed."""
        return any(self.count(state) for state in _BAD)

    @property
    def keeps_the_contract(self) -> bool:
        """Whether no clause failed, and any was held."""
        return self.count(State.PASS) > 0 and not self.is_broken


class Report(msgspec.Struct, kw_only=True):
    """One run. ``digest`` tells an edited suite from the one that was released.

    ``unfinished`` says what ended the run before all its tests, and is empty if nothing did.
    """

    suite: str
    digest: str
    contract: str
    python: str
    platform: str
    seed: int
    quick: bool
    seconds: float
    subjects: list[SubjectReport]
    unfinished: str = ""

    @property
    def is_broken(self) -> bool:
        """Whether a clause failed, or the run did not come to its end."""
        return bool(self.unfinished) or any(subject.is_broken for subject in self.subjects)

    @property
    def shows_that_it_is_kept(self) -> bool:
        """Whether the run came to its end, and every backend in it keeps the contract."""
        return (
            bool(self.subjects) and not self.unfinished and all(s.keeps_the_contract for s in self.subjects)
        )

    def write(self, path: Path) -> None:
        """Write it to a file, as JSON for people and programs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")


def read_reports(paths: Iterable[Path]) -> list[Report]:
    """Read reports.

    Raises:
        OSError: a file cannot be read.
        msgspec.DecodeError: a file is no report.
    """
    return [msgspec.json.decode(path.read_bytes(), type=Report) for path in paths]
