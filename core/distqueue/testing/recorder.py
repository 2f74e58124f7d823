"""A broker around a broker that notes which tasks were put."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec.structs import replace

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.clock import Clock
from distqueue.commands import Ack, Command, Put
from distqueue.results import Outcome, Seen, Settled, Stored


class Recorder(Broker):
    """Notes every put that stored a task, also those in the commit of an ack.

    Who says when a task is due reads the clock of the machine. What he means is how far away that is, so
    the store is told the same distance by its own clock.
    """

    def __init__(self, inner: Broker, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self.puts: list[Put] = []
        """The tasks that were stored, as they were put."""

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = self._inner.apply([self._by_own_clock(command) for command in commands])
        for command, outcome in zip(commands, outcomes):
            match command, outcome:
                case Put(), Stored():
                    self._note([command], [outcome])
                case Ack(), Settled():
                    self._note(command.then, outcome.then)
        return outcomes

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self._inner.wait(queue, seen, timeout)

    def close(self) -> None:
        self._inner.close()

    def _note(self, puts: Sequence[Put], stored: Sequence[Stored]) -> None:
        self.puts += [put for put, one in zip(puts, stored) if not one.duplicate]

    def _by_own_clock(self, command: Command) -> Command:
        match command:
            case Put():
                return self._moved(command)
            case Ack(then=then) if then:
                return replace(command, then=tuple(self._moved(put) for put in then))
        return command

    def _moved(self, put: Put) -> Put:
        if put.due is None:
            return put
        return replace(put, due=put.due - time.time() + self._clock.wall())
