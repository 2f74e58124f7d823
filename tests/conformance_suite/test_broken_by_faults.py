"""Each clause about faults finds out who does not stand them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from distqueue.broker import Broker
from distqueue.commands import Ack, Claim, Command, Find, Put, Release
from distqueue.conformance import BackendConformance
from distqueue.errors import InvalidTask, TooLarge
from distqueue.limits import payload_bytes
from distqueue.results import Claimed, Found, Outcome, Settled, Stored
from distqueue.task import TaskState
from distqueue_backends.table import clock

from .broken import NeverWakes, StopsAtTheBadTask, Wrapper, wrapped
from .engines import (
    AnswersAcksEarly,
    AnswersPutsEarly,
    EndsLeases,
    Engine,
    LeavesWaitersAlone,
    PutsAgain,
    suite_of,
)

pytestmark = pytest.mark.slow

type Check = Callable[[BackendConformance], object]
type Wrap = Callable[[Broker], Broker]
FOUND_OUT = (AssertionError, TimeoutError, TooLarge, pytest.fail.Exception)
HOUR, DAY = 3600.0, 86400.0
JSON = "json:///{tmp}/Queue.json"


def with_lease(outcome: Claimed, **changed: object) -> Claimed:
    """The answer of a claim with something else in each lease."""
    leases = [msgspec.structs.replace(lease, **changed) for lease in outcome.leases]
    return msgspec.structs.replace(outcome, leases=leases)


# --- By the time of day --------------------------------------------------------------------------------


class ByTheClock(Wrapper):
    """Believes that what was put later than now was never put."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.put_at: dict[str, float] = {}

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        for command in commands:
            if isinstance(command, Put):
                self.put_at.setdefault(command.task_id, self.now())
        good = [command for command in commands if not self.skips(command)]
        outcomes = iter(self.inner.apply(good))
        return [
            self.answer(command, next(outcomes))
            if command in good
            else Settled(task_id="?", state=TaskState.DONE)
            for command in commands
        ]

    def now(self) -> float:
        now: float = vars(clock)["time"].time()  # which the harness moves
        return now

    def is_to_come(self, task_id: str) -> bool:
        return self.now() < self.put_at.get(task_id, 0.0)

    def skips(self, command: Command) -> bool:
        """Whether a command is not carried out."""
        return False

    def answer(self, command: Command, outcome: Outcome) -> Outcome:
        """What is answered."""
        return outcome


class DropsAcks(ByTheClock):
    """Carries out no ack of a task of the future."""

    def skips(self, command: Command) -> bool:
        return isinstance(command, Ack) and self.is_to_come(command.receipt.rpartition(".")[2])


class OldestFirst(ByTheClock):
    """Orders tasks by when they were put."""

    def answer(self, command: Command, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Claimed):
            return outcome
        leases = sorted(outcome.leases, key=lambda lease: self.put_at[lease.task_id])
        return msgspec.structs.replace(outcome, leases=leases)


class CountsSeconds(ByTheClock):
    """Counts no attempt that is before the put."""

    def answer(self, command: Command, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Claimed) and any(self.is_to_come(each.task_id) for each in outcome.leases):
            return with_lease(outcome, attempt=1)
        return outcome


class ForgetsIds(ByTheClock):
    """Knows no id of the future."""

    def answer(self, command: Command, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Stored) and self.put_at[outcome.task_id] > self.now() - DAY / 2:
            return Stored(task_id=outcome.task_id)
        return outcome


class HidesTasks(ByTheClock):
    """Finds no task of the future."""

    def answer(self, command: Command, outcome: Outcome) -> Outcome:
        if isinstance(command, Find) and isinstance(outcome, Found) and self.is_to_come(command.task_id):
            return Found(task=None)
        return outcome


class EndsLeasesOnAStep(ByTheClock):
    """Gives back what is out when the clock goes back."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.last = self.now()
        self.out: dict[str, str] = {}

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if self.now() < self.last:
            self.inner.apply([Release(queue=queue, receipt=each) for each, queue in self.out.items()])
        self.last = self.now()
        outcomes = super().apply(commands)
        for command, outcome in zip(commands, outcomes):
            if isinstance(outcome, Claimed):
                self.out.update((lease.receipt, command.queue) for lease in outcome.leases)
        return outcomes


class NeverEndsLeases(Wrapper):
    """Asks for leases without end."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply(
            [
                msgspec.structs.replace(command, lease=10 * DAY) if isinstance(command, Claim) else command
                for command in commands
            ]
        )


class EndsDelays(Wrapper):
    """Stores delayed tasks as if they were not."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply(
            [
                msgspec.structs.replace(command, delay=None) if isinstance(command, Put) else command
                for command in commands
            ]
        )


# --- Limits --------------------------------------------------------------------------------------------


class Narrower(Wrapper):
    """Takes shorter names and smaller calls than it may, cuts receipts and splits calls."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if payload_bytes(commands) > 32 * 1024 * 1024:
            raise TooLarge("more than the engine takes at once")
        if any(len(command.queue) > 60 for command in commands):
            return [InvalidTask("longer than a key of the engine")] * len(commands)
        return [self.cut(outcome) for outcome in self.inner.apply(commands)]

    def cut(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Claimed):
            return outcome
        leases = [msgspec.structs.replace(each, receipt=each.receipt[:180]) for each in outcome.leases]
        return msgspec.structs.replace(outcome, leases=leases)


class SplitsCalls(Wrapper):
    """Stores as many follow-up tasks as fit, and forgets the rest."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply(
            [
                msgspec.structs.replace(each, then=each.then[:100]) if isinstance(each, Ack) else each
                for each in commands
            ]
        )


# --- Closing and opening -------------------------------------------------------------------------------


class ForgetsAtReopen(Wrapper):
    """Says of each id once that it is new."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.known: set[str] = set()

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return [self.answer(outcome) for outcome in self.inner.apply(commands)]

    def answer(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Stored) or outcome.task_id in self.known:
            return outcome
        self.known.add(outcome.task_id)
        return Stored(task_id=outcome.task_id)


class GivesBackAtClose(Wrapper):
    """Gives back what is out when it is closed."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.out: dict[str, str] = {}

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = self.inner.apply(commands)
        for command, outcome in zip(commands, outcomes):
            if isinstance(outcome, Claimed):
                self.out.update((lease.receipt, command.queue) for lease in outcome.leases)
        return outcomes

    def close(self) -> None:
        out, self.out = self.out, {}
        if out:
            self.inner.apply([Release(queue=queue, receipt=receipt) for receipt, queue in out.items()])
        super().close()


class DropsLapsed(Wrapper):
    """Hands out nothing a second time."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return [
            msgspec.structs.replace(
                outcome, leases=[lease for lease in outcome.leases if lease.deliveries == 1]
            )
            if isinstance(outcome, Claimed)
            else outcome
            for outcome in self.inner.apply(commands)
        ]


MEMORY = "memory://{name}"
BROKEN: dict[str, tuple[str, Wrap, Check]] = {
    "CLOCK-1": (MEMORY, DropsAcks, lambda test: test.test_a_jumping_clock_loses_and_doubles_nothing()),
    "CLOCK-2": (MEMORY, OldestFirst, lambda test: test.test_a_step_reorders_nothing(-HOUR)),
    "CLOCK-3": (MEMORY, EndsLeasesOnAStep, lambda test: test.test_a_step_back_ends_no_lease()),
    "CLOCK-4": (MEMORY, NeverEndsLeases, lambda test: test.test_a_step_back_makes_no_lease_endless()),
    "CLOCK-5": (MEMORY, NeverEndsLeases, lambda test: test.test_a_lease_after_a_step_has_its_length()),
    "CLOCK-6": (MEMORY, CountsSeconds, lambda test: test.test_a_step_counts_no_attempt(-HOUR)),
    "CLOCK-7": (MEMORY, ForgetsIds, lambda test: test.test_a_step_forgets_no_id(DAY)),
    "CLOCK-8": (MEMORY, EndsDelays, lambda test: test.test_a_step_loses_no_delayed_task(-HOUR)),
    "CLOCK-9": (MEMORY, HidesTasks, lambda test: test.test_what_is_settled_stays_so()),
    "CLOCK-10": (MEMORY, NeverWakes, lambda test: test.test_a_put_after_a_step_wakes(DAY)),
    "LIMIT-20": (MEMORY, Narrower, lambda test: test.test_the_longest_queue_name()),
    "LIMIT-21": (MEMORY, Narrower, lambda test: test.test_the_longest_token()),
    "LIMIT-22": (MEMORY, SplitsCalls, lambda test: test.test_the_most_follow_up_tasks()),
    "LIMIT-23": (MEMORY, Narrower, lambda test: test.test_as_many_bytes_as_a_call_may_hold()),
    "PAYLOAD-5": (MEMORY, StopsAtTheBadTask, lambda test: test.test_poison_in_a_batch_hurts_nobody()),
    "DEDUP-14": (JSON, ForgetsAtReopen, lambda test: test.test_a_batch_of_which_half_is_known()),
    "REOPEN-15": (JSON, GivesBackAtClose, lambda test: test.test_a_reopen_in_the_middle_of_everything()),
    "CRASH-7": (
        JSON,
        DropsLapsed,
        lambda test: test.test_a_consumer_is_killed_in_the_middle_of_its_acks(),
    ),
    "CRASH-8": (
        JSON,
        DropsLapsed,
        lambda test: test.test_a_consumer_is_killed_in_the_middle_of_a_claim(),
    ),
    "CRASH-6": (
        JSON,
        ForgetsAtReopen,
        lambda test: test.test_the_successor_of_a_killed_publisher_puts_again(),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_who_does_not_stand_a_fault_is_found_out(name: str, tmp_path: Path) -> None:
    place, wrap, check = BROKEN[name]
    test = wrapped(wrap, place)()
    with test.opened_in(tmp_path), pytest.raises(FOUND_OUT):
        check(test)


@pytest.mark.parametrize("name", [name for name in BROKEN if BROKEN[name][0] == MEMORY])
def test_who_stands_it_passes(name: str, tmp_path: Path) -> None:
    place, _, check = BROKEN[name]
    test = wrapped(lambda inner: inner, place)()
    with test.opened_in(tmp_path):
        check(test)


TRIES = 5
"""How often a flaw may slip through before that is a failure."""

# --- Engines -------------------------------------------------------------------------------------------

ENGINES: dict[str, tuple[type[Engine], Check]] = {
    "CUT-1": (PutsAgain, lambda test: test.test_puts_through_broken_connections()),
    "CUT-2": (AnswersAcksEarly, lambda test: test.test_claims_through_broken_connections()),
    "CUT-3": (LeavesWaitersAlone, lambda test: test.test_a_waiter_survives_a_broken_connection()),
    "CUT-4": (EndsLeases, lambda test: test.test_a_receipt_survives_a_broken_connection()),
    "RESTART-1": (AnswersPutsEarly, lambda test: test.test_puts_through_restarts()),
    "RESTART-2": (AnswersAcksEarly, lambda test: test.test_claims_through_restarts()),
    "RESTART-3": (LeavesWaitersAlone, lambda test: test.test_a_waiter_survives_a_restart()),
    "RESTART-4": (EndsLeases, lambda test: test.test_a_receipt_survives_a_restart()),
}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_with_a_flaw_is_found_out(name: str, tmp_path: Path) -> None:
    assert any(is_found_out(name, tmp_path / str(number)) for number in range(TRIES))


def is_found_out(name: str, directory: Path) -> bool:
    """Hold the clause once; whether the harm strikes while an answer is early is a matter of chance."""
    kind, check = ENGINES[name]
    test = suite_of(kind)()
    directory.mkdir()
    with test.opened_in(directory):
        try:
            check(test)
        except FOUND_OUT:
            return True
    return False


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_that_is_killed_and_cut_off_passes(name: str, tmp_path: Path) -> None:
    test = suite_of(Engine)()
    with test.opened_in(tmp_path):
        ENGINES[name][1](test)
