"""Random walks beside the model: what a backend answers is what the model allows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from distqueue.broker import Broker
from distqueue.commands import READS, Ack, Browse, Claim, Command, Find, Pause, Resume, Settle, Stats
from distqueue.conformance.clauses import clause
from distqueue.conformance.model import Disagreement, Model
from distqueue.conformance.model.steps import CHOICES, NAMES, Steps, told
from distqueue.conformance.suite.subject import LONG, Subject
from distqueue.ids import new_token
from distqueue.results import Outcome
from distqueue.task import TaskState

type Plan = list[list[tuple[str, bytes]]]
"""The calls of a walk, each of some steps: a name and the bytes by which it chooses."""

BETWEEN: Final = ("pass", "reopen")
"""The steps that are no command."""
WINDOW: Final = 1500.0
"""For how long ids are remembered where time can be moved on, in seconds: no whole number of units."""


class Enough(BaseException):
    """A failure was shrunk for long enough."""


class MovedTime:
    """Time that is moved on: a unit is ten minutes, and no two durations end at the same moment."""

    unit: Final = 600.0
    apart: Final = 2.0

    def __init__(self, test: Subject, now: float) -> None:
        self._test = test
        self._count = 0
        self.now = now

    def lasts(self, units: int) -> float:
        """A duration that is over when so many units have passed, but not sooner."""
        self._count += 1
        return units * self.unit - self._count % 100 * self.apart

    def passes(self, units: int) -> None:
        """Let units pass."""
        self._test.rig.advance(units * self.unit)
        self.now += units * self.unit

    def is_short(self) -> bool:
        """Whether something must be over before the next command."""
        return False


class RealTime:
    """Time that passes by itself: what lasts one unit is short and over after its call, all else is long."""

    def __init__(self, test: Subject, now: float) -> None:
        self._test = test
        self._is_short = False
        self.now = now

    def lasts(self, units: int) -> float:
        """A duration."""
        self._is_short |= units == 1
        return self._test.moment if units == 1 else units * LONG

    def passes(self, units: int) -> None:
        """Wait for what was short to be over."""
        if self._is_short:
            self._is_short = False
            self._test.pass_time(self._test.moment)
            self.now += 2 * self._test.moment

    def is_short(self) -> bool:
        """Whether something must be over before the next command."""
        return self._is_short


class Walk:
    """One walk, in queues of its own: each call is carried out, and held against the model."""

    def __init__(self, test: Subject, name: str) -> None:
        self.test = test
        self.queues = (f"{name}a", f"{name}b")
        self.model = Model(test.capabilities)
        moves = test.rig.missing("advance") is None
        self.time = (MovedTime if moves else RealTime)(test, self.store_time(f"{name}c"))
        self.steps = Steps(self.queues, test.lacks, self.time.lasts)
        self.lines: list[str] = []

    def store_time(self, queue: str) -> float:
        """What the clock of the store says."""
        return self.test.record(self.test.put(queue=queue), queue).put_at

    def go(self, plan: Plan) -> None:
        """Take the steps."""
        for call in plan:
            commands: list[Command] = []
            for name, choice in call:
                if name == "nothing":
                    continue
                if name not in BETWEEN:
                    commands.append(self.steps.command(name, choice))
                if name in BETWEEN or self.time.is_short():
                    self.carry_out(commands)
                    commands = []
                    self.between(name, 1 + choice[0] % 3)
            self.carry_out(commands)

    def between(self, name: str, units: int) -> None:
        """What happens between two calls."""
        if name == "reopen":
            self.lines.append("the store is closed and opened")
            self.test.broker.close()
            self.test.broker = open_for_walking(self.test)
        else:
            self.lines.append(f"time passes: {units} units")
            self.time.passes(units)
        self.compare()

    def carry_out(self, commands: Sequence[Command]) -> None:
        """Carry out a call; afterwards everything that can be read is as in the model."""
        if not commands:
            return
        if not all(map(is_indifferent, commands)):
            for queue in self.queues:
                self.notice(queue)
        self.send(commands)
        if not self.time.is_short():  # or what is short may be over by now, or not
            self.compare()

    def notice(self, queue: str) -> None:
        """Claim a task if time has done something, as only a claim has to notice that."""
        in_model = self.model.queue(queue)
        if in_model.is_pending(self.time.now):
            if self.test.lacks("ordering"):  # a claim may have to do with a part of the store only
                self.test.stats(queue)
            if in_model.paused:
                self.send([Resume(queue=queue)])
            self.send([Claim(queue=queue, token=new_token(), lease=LONG * 24)])

    def send(self, commands: Sequence[Command]) -> None:
        """Carry out a call, and follow what the backend answers."""
        outcomes = self.test.broker.apply(commands)
        for command, outcome in zip(commands, outcomes, strict=True):
            self.lines.append(step_told(command, outcome))
            self.hold(command, outcome)
        self.steps.note(commands, outcomes)

    def compare(self) -> None:
        """Ask for everything that can be read."""
        questions = self.questions()
        for question, answer in zip(questions, self.test.broker.apply(questions), strict=True):
            self.hold(question, answer)

    def hold(self, command: Command, outcome: Outcome) -> None:
        """Hold an outcome against the model."""
        try:
            self.model.follow(self.model.apply(command, self.time.now), outcome)
        except Disagreement as disagreement:
            if isinstance(command, READS):
                self.lines.append(step_told(command, outcome))
            steps = "\n".join(f"{number:4}. {line}" for number, line in enumerate(self.lines, 1))
            raise AssertionError(f"not as in the model:\n{steps}\n      {disagreement}") from None

    def questions(self) -> list[Command]:
        """All that can be asked of the queues in which nothing is to be noticed: who looks may notice it."""
        questions: list[Command] = []
        for queue in self.queues:
            if self.model.queue(queue).is_pending(self.time.now):
                continue
            questions += [Find(queue=queue, task_id=task_id) for task_id in self.steps.tasks]
            questions.append(Stats(queue=queue))
            if not self.test.lacks("browse"):
                questions.append(Browse(queue=queue))
                if not self.test.lacks("ordering"):
                    questions.append(Browse(queue=queue, states=(TaskState.READY,), order="line"))
        return questions


def is_indifferent(command: Command) -> bool:
    """Whether it is all the same to a command if what time did has been noticed."""
    if isinstance(command, Ack):
        return not command.then
    return isinstance(command, (Settle, Pause, Resume))


def step_told(command: Command, outcome: Outcome) -> str:
    """What is printed of a step."""
    return f"{told(command)}\n      {told(outcome)}"


def open_for_walking(test: Subject) -> Broker:
    """Open the store of a test so that it forgets ids within the time of a walk, if that can be moved on."""
    if test.lacks("dedup") or test.rig.missing("advance") is not None:
        return test.open()
    return test.open(dedup_window=WINDOW)


def plans(names: Sequence[str]) -> st.SearchStrategy[Plan]:
    """Random plans of steps with these names, and of nothing, to which they shrink."""
    step = st.tuples(st.sampled_from(["nothing", *names]), st.binary(min_size=CHOICES, max_size=CHOICES))
    return st.lists(st.lists(step, min_size=1, max_size=3), min_size=10, max_size=20)


class Modelled(Subject):
    """Random walks beside the model."""

    walks: ClassVar[int] = 40
    """How many walks a clause takes: half as many with closing and opening, an eighth where time passes by
    itself."""

    @clause(
        "MODEL-1",
        "whatever the commands, their outcomes and what is stored are those of the model",
        look="the step that is printed last: the outcome is followed by what the contract allows",
    )
    def test_outcomes_are_those_of_the_model(self) -> None:
        self.walk(NAMES, self.walks)

    @clause(
        "MODEL-2",
        "the same while time passes: leases end, tasks become due and expire, ids are forgotten",
        look="the step that is printed last, and what time did before it",
    )
    def test_outcomes_are_those_of_the_model_while_time_passes(self) -> None:
        self.walk([*NAMES, *["pass"] * 6], self.walks)

    @clause(
        "MODEL-3",
        "the same when the store is closed and opened in between",
        needs="durability",
        look="what is written of the steps before the store is closed, and how it is read back",
    )
    def test_outcomes_are_those_of_the_model_after_reopening(self) -> None:
        self.walk([*NAMES, *["pass"] * 3, *["reopen"] * 5], self.walks // 2)

    def walk(self, names: Sequence[str], walks: int) -> None:
        """Walk at random; a failure is shrunk to the fewest steps that show it, while patience lasts."""
        self.broker.close()
        self.broker = open_for_walking(self)
        walks //= 8 if self.rig.missing("advance") is not None else 1
        numbers = iter(range(1_000_000))
        failures: list[tuple[int, float, AssertionError]] = []

        @seed(self.seed)
        @settings(
            max_examples=self.examples(walks),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(plans(names))
        def go(plan: Plan) -> None:
            if failures and time.monotonic() > failures[0][1] + self.patience:
                raise Enough
            walk = Walk(self, f"w{next(numbers)}")
            try:
                walk.go(plan)
            except AssertionError as failure:
                failures.append((len(walk.lines), time.monotonic(), failure))
                raise

        try:
            go()
        except Enough:
            raise min(failures)[2] from None
