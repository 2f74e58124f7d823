"""An engine in this process, which can be cut off and killed, and flaws that it may have."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import msgspec

from distqueue.broker import Broker
from distqueue.commands import Ack, Command, Put, Release, Settle
from distqueue.conformance import BackendConformance
from distqueue.conformance.harness import Harness
from distqueue.conformance.suite.subject import StoreOptions
from distqueue.errors import Closed
from distqueue.opening import open_broker
from distqueue.results import Claimed, Outcome, Seen, Settled, Stored
from distqueue.task import TaskState

from .broken import Wrapper

LOOKS_EVERY = 0.05


class Engine(Wrapper):
    """Keeps tasks in a JSON store, which outlives it."""

    answers_early: tuple[type[Command], ...] = ()
    """What is answered first, and stored with the next call."""

    def __init__(self, url: str) -> None:
        super().__init__(open_broker(url))
        self.url = url
        self.lock = threading.RLock()
        self.early: list[Command] = []
        self.out: dict[str, str] = {}
        self.harms = 0
        self.closing = threading.Event()

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        with self.lock:
            early, self.early = self.early, []
            if early:
                self.inner.apply(early)
            if self.answers_early and all(isinstance(each, self.answers_early) for each in commands):
                self.early = list(commands)
                return [early_answer(each) for each in commands]
            outcomes = self.inner.apply(commands)
            self.note(commands, outcomes)
            return outcomes

    def note(self, commands: Sequence[Command], outcomes: Sequence[Outcome]) -> None:
        """Note which deliveries are out."""
        for command, outcome in zip(commands, outcomes):
            if isinstance(outcome, Claimed):
                self.out.update((lease.receipt, command.queue) for lease in outcome.leases)
            if isinstance(command, Settle):
                self.out.pop(command.receipt, None)

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        harms = self.harms
        while True:
            try:
                now = self.inner.wait(queue, seen, LOOKS_EVERY)
            except Closed:
                if self.closing.is_set():
                    raise
                now = Seen()
            if self.harms != harms:
                return self.after_harm()
            if now != seen:
                return now

    def after_harm(self) -> Seen:
        """What a waiter is told that was cut off."""
        return Seen()

    def cut(self) -> None:
        """Lose what is in memory only."""
        with self.lock:
            self.early.clear()
            self.harms += 1

    def restart(self) -> None:
        """Be killed, and come back."""
        with self.lock:
            self.cut()
            self.inner.close()
            self.inner = open_broker(self.url)

    def close(self) -> None:
        self.closing.set()
        super().close()


def early_answer(command: Command) -> Outcome:
    """What a command is answered with that is not carried out yet."""
    if isinstance(command, Put):
        return Stored(task_id=command.task_id)
    return Settled(task_id="?", state=TaskState.DONE)


# --- Flaws ---------------------------------------------------------------------------------------------


class AnswersPutsEarly(Engine):
    """Answers puts before they are stored."""

    answers_early = (Put,)


class AnswersAcksEarly(Engine):
    """Answers acks before they are stored."""

    answers_early = (Ack,)


class LeavesWaitersAlone(Engine):
    """Tells nobody who waits that the connection is gone."""

    def after_harm(self) -> Seen:
        self.closing.wait()
        raise Closed("closed")


class EndsLeases(Engine):
    """Ends the leases of those who are cut off."""

    def cut(self) -> None:
        with self.lock:
            super().cut()
            self.inner.apply([Release(queue=queue, receipt=receipt) for receipt, queue in self.out.items()])


class PutsAgain(Engine):
    """Repeats a put after a cut, under another id."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        harms, self.harms = self.harms, 0
        if harms:
            self.inner.apply(
                [
                    msgspec.structs.replace(each, task_id=f"again-{each.task_id}")
                    for each in commands
                    if isinstance(each, Put)
                ]
            )
        return super().apply(commands)


class EngineHarness(Harness):
    """Cuts off and kills the engines of a test."""

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        self.engines: list[Engine] = []

    def cut_connections(self) -> None:
        for engine in self.engines:
            engine.cut()

    def restart_engine(self) -> None:
        for engine in self.engines:
            engine.restart()


def suite_of(kind: type[Engine]) -> type[BackendConformance]:
    """The suite for an engine."""

    class Suite(BackendConformance):
        url = "json:///{tmp}/Queue.json"
        patience = 3.0
        harness = EngineHarness

        def open(
            self, url: str | None = None, *, create: bool = True, **options: Unpack[StoreOptions]
        ) -> Broker:
            engine = kind(url or self.store)
            assert isinstance(self.rig, EngineHarness)
            self.rig.engines.append(engine)
            return self.opened(engine)

    return Suite
