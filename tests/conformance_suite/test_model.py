"""The model finds out backends that are nearly right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from distqueue.broker import Broker
from distqueue.commands import Claim, Command, Extend, Find, Put, Redrive, Release, Resume, Retry
from distqueue.conformance.harness import Harness
from distqueue.results import Claimed, Found, Outcome, Stored

from .broken import (
    AcksTooLate,
    IgnoresOption,
    LastInFirstOut,
    LosesFollowUps,
    TakesAnyPayload,
    Wrapper,
    wrapped,
)

pytestmark = pytest.mark.slow


class Turns(Wrapper):
    """Sends other commands than it was given."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply([self.turned(command) for command in commands])

    def turned(self, command: Command) -> Command:
        """What is carried out instead."""
        return command


class ReleasesToTheEnd(Turns):
    """A release gives the task a new place."""

    def turned(self, command: Command) -> Command:
        if isinstance(command, Release):
            return Retry(queue=command.queue, receipt=command.receipt, delay=0.0)
        return command


class RetriesInPlace(Turns):
    """A retry uses up no attempt, and the task is back where it was."""

    def turned(self, command: Command) -> Command:
        if isinstance(command, Retry):
            return Release(queue=command.queue, receipt=command.receipt)
        return command


class LeasesTooLong(Turns):
    """A lease lasts twice as long as asked for."""

    def turned(self, command: Command) -> Command:
        if isinstance(command, (Claim, Extend)):
            return msgspec.structs.replace(command, lease=2 * command.lease)
        return command


class RedrivesAll(Turns):
    """A redrive takes every dead task, whatever its error."""

    def turned(self, command: Command) -> Command:
        return Redrive(queue=command.queue) if isinstance(command, Redrive) else command


class ForgetsIds(Wrapper):
    """A second put of a task that is gone is answered as if the task were new."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return [self.forgetful(command, self.inner.apply([command])[0]) for command in commands]

    def forgetful(self, command: Command, outcome: Outcome) -> Outcome:
        """The answer to a put that knows nothing."""
        if not isinstance(command, Put) or not isinstance(outcome, Stored) or not outcome.duplicate:
            return outcome
        (found,) = self.inner.apply([Find(queue=command.queue, task_id=command.task_id)])
        is_there = isinstance(found, Found) and found.task is not None
        return outcome if is_there else Stored(task_id=command.task_id)


class CountsNoAttempt(Wrapper):
    """Every delivery is the first attempt."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return [first_attempts(outcome) for outcome in self.inner.apply(commands)]


def first_attempts(outcome: Outcome) -> Outcome:
    """A claim whose deliveries say that they are first attempts."""
    if not isinstance(outcome, Claimed):
        return outcome
    leases = [msgspec.structs.replace(lease, attempt=1) for lease in outcome.leases]
    return msgspec.structs.replace(outcome, leases=leases)


class ForgetsThePause(Turns):
    """A queue is paused no longer than until the next command that is no claim."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = self.inner.apply(commands)
        self.inner.apply([Resume(queue=each.queue) for each in commands if isinstance(each, Put)])
        return outcomes


BROKEN: dict[str, Callable[[Broker], Broker]] = {
    "priority": lambda inner: IgnoresOption(inner, "priority"),
    "group": lambda inner: IgnoresOption(inner, "group"),
    "unique": lambda inner: IgnoresOption(inner, "unique"),
    "delay": lambda inner: IgnoresOption(inner, "delay"),
    "expires_in": lambda inner: IgnoresOption(inner, "expires_in"),
    "keep_done": lambda inner: IgnoresOption(inner, "keep_done"),
    "max_attempts": lambda inner: IgnoresOption(inner, "max_attempts"),
    "late ack": AcksTooLate,
    "follow-ups": LosesFollowUps,
    "order": LastInFirstOut,
    "payload": TakesAnyPayload,
    "pause": ForgetsThePause,
    "attempts": CountsNoAttempt,
    "dedup": ForgetsIds,
    "lease": LeasesTooLong,
    "release": ReleasesToTheEnd,
    "retry": RetriesInPlace,
    "redrive": RedrivesAll,
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_model_finds_out(name: str, tmp_path: Path) -> None:
    test = wrapped(BROKEN[name])()
    test.patience = 0.1  # type: ignore[misc]  # nothing needs to be shrunk
    with test.opened_in(tmp_path), pytest.raises(AssertionError, match="not as in the model"):
        test.test_outcomes_are_those_of_the_model_while_time_passes()


def test_a_failure_shows_the_fewest_steps(tmp_path: Path) -> None:
    test = wrapped(LosesFollowUps)()
    test.patience = 20.0  # type: ignore[misc]  # time to shrink
    with test.opened_in(tmp_path), pytest.raises(AssertionError) as failure:
        test.test_outcomes_are_those_of_the_model()
    steps = str(failure.value).split("   3. ")
    assert len(steps) == 2, failure.value
    assert "Put(" in steps[0]
    assert "Claim(" in steps[0]
    assert "Ack(" in steps[1]
    assert "   4. " not in steps[1]


class OnRealTime(wrapped(lambda inner: inner)):  # type: ignore[misc]
    """The memory backend without anyone who could move its clock on."""

    harness = Harness


def test_where_time_cannot_be_moved_it_is_waited_for(tmp_path: Path) -> None:
    test = OnRealTime()
    with test.opened_in(tmp_path):
        test.test_outcomes_are_those_of_the_model_while_time_passes()


@pytest.mark.parametrize("name", ["lease", "delay"])
def test_the_model_finds_out_in_real_time(name: str, tmp_path: Path) -> None:
    class Broken(wrapped(BROKEN[name])):  # type: ignore[misc]
        harness = Harness
        walks = 160
        patience = 0.1

    test = Broken()
    with test.opened_in(tmp_path), pytest.raises(AssertionError, match="not as in the model"):
        test.test_outcomes_are_those_of_the_model_while_time_passes()
