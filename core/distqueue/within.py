"""Putting tasks in a transaction of the application's: what a backend gives for a connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from distqueue.capabilities import Capabilities
from distqueue.commands import Command
from distqueue.errors import Unsupported
from distqueue.results import Outcome


class Within(ABC):
    """Carries out puts in the transaction that is open on a connection of the application's.

    It neither commits nor rolls back. A backend writes ``apply``, ``apply_async``, or both: whichever its
    connections are for. Both answer as :meth:`Broker.apply <distqueue.broker.Broker.apply>` does.
    """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the store promises."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out puts on a connection that blocks."""
        raise Unsupported(
            "connection= is one for coroutines, nothing was put; use AsyncQueue, or enqueue_async of an App"
        )

    async def apply_async(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out puts on a connection that is awaited."""
        raise Unsupported(
            "connection= is one that blocks, nothing was put; use Queue, or enqueue of an App, "
            "in the thread of its transaction"
        )
