"""The same random history on every backend at once: what they answer is the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, Phase, given, settings

from distqueue.commands import Browse, Command, Stats
from distqueue.conformance import BackendConformance
from distqueue.conformance.model.steps import NAMES, Steps, told
from distqueue.conformance.served import ThroughAPipe
from distqueue.conformance.suite.modelled import WINDOW, MovedTime, Plan, plans
from tests.servers.conformance import OnPostgreSQL

TIMES: Final = {"at", "until", "put_at", "expires_at", "oldest_ready_at", "next_due_at"}
DIFFERS: Final = {*TIMES, "receipt", "seen", "store", "queue", "remembered", "number", "place"}
"""Fields of outcomes that hold times, what is random, what counts for the whole store, what a backend may
keep for longer than it says, or what only its order counts of."""
STEPS: Final = [*[name for name in NAMES if name != "pause"], *["pass"] * 6]
"""Whether a claim of a paused queue gives due tasks their place is not said, so none is paused."""


class Memory(BackendConformance):
    url = "memory://{name}"


class Json(BackendConformance):
    url = "json:///{tmp}/Queue.json"


class OneShard(BackendConformance):
    url = "sharded-json:///{tmp}/queue.d?shards=1"


class Sqlite(BackendConformance):
    url = "sqlite:///{tmp}/queue.db"


class Piped(ThroughAPipe, BackendConformance):
    url = "json:///{tmp}/Queue.json"


class Postgresql(OnPostgreSQL, BackendConformance):
    url = "postgresql:///?schema={name}"


BACKENDS: Final = (Memory, Json, OneShard, Sqlite, Piped)


class Side:
    """One of the backends, in a walk: it takes the steps, and its outcomes are told without what differs."""

    def __init__(self, test: BackendConformance, clock: BackendConformance, name: str) -> None:
        self.name = type(test).__name__
        self.broker = test.broker
        self.queues = [name + queue for queue in "ab"]
        self.steps = Steps(
            self.queues, lambda capability: capability == "unique", MovedTime(clock, 0.0).lasts
        )

    def take(self, step: tuple[str, bytes]) -> tuple[str, object]:
        """Take a step: the command and what is the same on every backend about its outcome."""
        command = self.steps.command(*step)
        outcomes = self.broker.apply([command])
        self.steps.note([command], outcomes)
        return told(command), without(outcomes)

    def everything(self) -> object:
        """All that can be read."""
        questions: list[Command] = []
        for queue in self.queues:
            questions += [Stats(queue=queue), Browse(queue=queue), Browse(queue=queue, order="line")]
        return without(self.broker.apply(questions))


def without(value: Any) -> object:
    """A value without what differs from backend to backend."""
    if isinstance(value, msgspec.Struct):
        names = [name for name in value.__struct_fields__ if name not in DIFFERS]
        return type(value).__name__, {name: without(getattr(value, name)) for name in names}
    if isinstance(value, (list, tuple)):
        return [without(each) for each in value]
    if isinstance(value, (bytes, msgspec.Raw)):
        return bytes(value)
    return type(value).__name__ if isinstance(value, Exception) else value


@contextmanager
def opened(
    directory: Path, backends: Sequence[type[BackendConformance]]
) -> Iterator[Sequence[BackendConformance]]:
    """Backends, open."""
    with ExitStack() as stack:
        tests = []
        for backend in backends:
            test = backend()
            (directory / backend.__name__).mkdir()
            stack.enter_context(test.opened_in(directory / backend.__name__))
            test.broker.close()
            test.broker = test.open(dedup_window=WINDOW)
            tests.append(test)
        yield tests


class ClocksTogether(MovedTime):
    """The clock of this process, which the embedded backends read, and those of servers."""

    def __init__(self, tests: Sequence[BackendConformance]) -> None:
        super().__init__(tests[-1], 0.0)
        self._others = [test for test in tests[:-1] if isinstance(test, OnPostgreSQL)]

    def passes(self, units: int) -> None:
        super().passes(units)
        for test in self._others:
            test.rig.advance(units * self.unit)


def test_the_same_history_has_the_same_outcomes_on_every_backend(tmp_path: Path) -> None:
    with opened(tmp_path, BACKENDS) as tests:
        walks(tests)


def test_the_same_history_has_the_same_outcomes_on_postgresql(tmp_path: Path) -> None:
    with opened(tmp_path, (Postgresql, Memory)) as tests:
        walks(tests)


def walks(tests: Sequence[BackendConformance]) -> None:
    """Take random steps on all of them at once."""
    numbers = iter(range(1_000_000))

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(plans(STEPS))
    def walk(plan: Plan) -> None:
        name = f"w{next(numbers)}"
        agree([Side(test, tests[-1], name) for test in tests], ClocksTogether(tests), plan)

    walk()


def agree(sides: Sequence[Side], time: MovedTime, plan: Plan) -> None:
    """Take the steps of a plan on all sides."""
    names = [side.name for side in sides]
    lines: list[str] = []
    for step in [step for call in plan for step in call]:
        name, choice = step
        if name == "nothing":
            continue
        if name == "pass":
            lines.append(f"time passes: {1 + choice[0] % 3} units")
            time.passes(1 + choice[0] % 3)
            continue
        answers = [side.take(step) for side in sides]
        lines.append(answers[0][0])
        compare(names, lines, [answer for _, answer in answers])
        if choice[-1] % 3 == 0:  # who looks also notices what time did, so this is not done each time
            compare(names, [*lines, "all that can be read"], [side.everything() for side in sides])


def compare(names: Sequence[str], lines: Sequence[str], answers: Sequence[object]) -> None:
    """Whether all answers are the same."""
    told = "\n".join(f"  {name}: {answer}" for name, answer in zip(names, answers))
    assert all(answer == answers[0] for answer in answers), "\n".join([*lines, told])
