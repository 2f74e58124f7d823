"""Backends that are not what they say: the suite has to find each of them out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, Unpack
from zlib import crc32

import msgspec

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities, Ordering
from distqueue.commands import (
    Ack,
    Browse,
    Clear,
    Command,
    Fence,
    Pause,
    Put,
    Release,
    Remembered,
    Resume,
    Retry,
    Settle,
)
from distqueue.conformance import BackendConformance
from distqueue.conformance.suite.subject import StoreOptions
from distqueue.errors import Closed, LeaseLost, PayloadMismatch, Refused, Unsupported
from distqueue.limits import check_put
from distqueue.opening import open_broker
from distqueue.results import Claimed, Found, Outcome, Seen, Settled, Stored
from distqueue.task import DEFAULT_OPTIONS, TaskState

FEATURES: Final = (
    "priorities",
    "delay",
    "groups",
    "unique",
    "expiry",
    "pause",
    "fence",
    "browse",
    "keep_done",
)
"""The capabilities that stand for commands or options, which can be refused."""


class Wrapper(Broker):
    """Passes everything on to a good broker: what the broken ones begin with."""

    def __init__(self, inner: Broker) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply(commands)

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self.inner.wait(queue, seen, timeout)

    def close(self) -> None:
        self.inner.close()


def wrapped(wrap: Callable[[Broker], Broker], place: str = "memory://{name}") -> type[BackendConformance]:
    """The suite for a backend with a wrapper around it: that in memory, if no other is named."""

    class Wrapped(BackendConformance):
        url = place
        patience = 2.0

        def open(
            self, url: str | None = None, *, create: bool = True, **options: Unpack[StoreOptions]
        ) -> Broker:
            return self.opened(wrap(open_broker(url or self.store, create=create, **options)))

    return Wrapped


# --- Declaring less ------------------------------------------------------------------------------------


class Careless(Wrapper):
    """Declares no feature, and does not refuse what needs one."""

    @property
    def capabilities(self) -> Capabilities:
        fewer = dict.fromkeys(FEATURES, False)
        return msgspec.structs.replace(super().capabilities, ordering=Ordering.NONE, **fewer)


class Narrow(Careless):
    """Declares no feature, and refuses what needs one: a minimal backend."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        refusals = [self.refusal(command) for command in commands]
        good = [self.mark(command) for command, refusal in zip(commands, refusals) if refusal is None]
        outcomes = iter(self.inner.apply(good))
        return [next(outcomes) if refusal is None else refusal for refusal in refusals]

    def mark(self, command: Command) -> Command:
        """What is carried out for a command: a retry that leaves the delay open is at once."""
        if isinstance(command, Retry) and command.delay is None:
            return msgspec.structs.replace(command, delay=0.0)
        return command

    def refusal(self, command: Command) -> Refused | None:
        """Why a command is refused, if it is."""
        puts = command.then if isinstance(command, Ack) else [command] if isinstance(command, Put) else []
        try:
            for put in puts:
                check_put(put, self.capabilities)
        except Unsupported as refused:
            return refused
        except Refused:
            return None  # the backend says so itself
        if isinstance(command, (Pause, Resume, Fence, Clear, Browse, Remembered)):
            return Unsupported("not supported")
        if isinstance(command, (Retry, Release)) and command.delay:
            return Unsupported("nothing can be delayed")
        return None


class Unordered(Narrow):
    """A minimal backend that hands tasks out in an order of its own."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return [unmarked(outcome) for outcome in super().apply(commands)]

    def mark(self, command: Command) -> Command:
        """Let a task be stored with a priority that nobody asked for."""
        match command:
            case Put():
                priority = 31 - crc32(command.task_id.encode(errors="replace")) % 32
                return with_option(command, priority=priority)
            case Ack(then=then):
                return msgspec.structs.replace(command, then=tuple([self.mark(put) for put in then]))
        return super().mark(command)


def with_option(put: Put, **options: object) -> Put:
    """Return a put with other options."""
    return msgspec.structs.replace(put, options=msgspec.structs.replace(put.options, **options))


def unmarked(outcome: Outcome) -> Outcome:
    """Hide the priority."""
    if isinstance(outcome, Found) and outcome.task is not None:
        return Found(task=msgspec.structs.replace(outcome.task, priority=0))
    if not isinstance(outcome, Claimed):
        return outcome
    leases = [msgspec.structs.replace(lease, priority=0) for lease in outcome.leases]
    return msgspec.structs.replace(outcome, leases=leases)


# --- Doing less or more than declared ------------------------------------------------------------------


class IgnoresOption(Wrapper):
    """Stores tasks without one of their options."""

    def __init__(self, inner: Broker, option: str) -> None:
        super().__init__(inner)
        self.option = option

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply(
            [self.without(command) if isinstance(command, Put) else command for command in commands]
        )

    def without(self, put: Put) -> Put:
        """The put as if nobody had asked for the option."""
        if self.option in ("delay", "due"):
            return msgspec.structs.replace(put, **{self.option: None})
        return with_option(put, **{self.option: getattr(DEFAULT_OPTIONS, self.option)})


class AcksTooLate(Wrapper):
    """Answers a stale settle as if it had been carried out."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return [
            Settled(task_id="?", state=TaskState.DONE)
            if isinstance(command, Settle) and isinstance(outcome, LeaseLost)
            else outcome
            for command, outcome in zip(commands, self.inner.apply(commands))
        ]


class LosesFollowUps(Wrapper):
    """Acks, and forgets the follow-up tasks."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply(
            [
                msgspec.structs.replace(command, then=()) if isinstance(command, Ack) else command
                for command in commands
            ]
        )


class TakesAnyPayload(Wrapper):
    """Calls another payload under a known id a duplicate."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return [
            Stored(task_id=command.task_id, duplicate=True)
            if isinstance(outcome, PayloadMismatch) and isinstance(command, Put)
            else outcome
            for command, outcome in zip(commands, self.inner.apply(commands))
        ]


class LastInFirstOut(Wrapper):
    """Hands out what a claim took in reverse."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return [
            msgspec.structs.replace(outcome, leases=outcome.leases[::-1])
            if isinstance(outcome, Claimed)
            else outcome
            for outcome in self.inner.apply(commands)
        ]


class NeverWakes(Wrapper):
    """Waits to the end of its timeout, or until it is closed."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.closing = threading.Event()

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        if self.closing.wait(timeout):
            raise Closed("closed")
        return seen

    def close(self) -> None:
        self.closing.set()
        super().close()


class StopsAtTheBadTask(Wrapper):
    """Refuses the neighbours of a bad task too."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        for command in commands:
            try:
                if isinstance(command, Put):
                    check_put(command, self.capabilities)
            except Refused as refused:
                return [refused] * len(commands)
        return self.inner.apply(commands)
