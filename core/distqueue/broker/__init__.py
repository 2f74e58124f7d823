"""The one door: whatever carries out queue commands is a :class:`Broker`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from distqueue.capabilities import Capabilities
from distqueue.commands import Claim, Command
from distqueue.results import Lease, Outcome, Seen


class Broker(ABC):
    """Carries out commands. A backend is one; so is every layer around another broker."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this broker promises: the durability as of when it last connected, if it has a server."""

    @abstractmethod
    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands and return their results by position, each a result or a refusal.

        As if carried out in list order within a queue. Each command is atomic; all commands of one
        call on one queue are atomic together if the backend declares ``atomic_batch``, and those that
        only look see one moment. The fault of one command is its own result and never fails its
        neighbours. What is returned is durable as the backend declares.

        Raises:
            Closed: the broker has been closed.
            TooLarge: the batch is over a limit; nothing was carried out. Clients split.
            StoreBusy: the store could not be had in time; nothing was carried out.
            StoreFailed: the store can no longer be used until it is opened again.
            OutcomeUnknown: each command may or may not have been carried out.
        """

    @abstractmethod
    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        """Return once something may have become claimable since ``seen``.

        At the latest after ``timeout`` seconds (``None``: no limit), or when the next task is due or
        a lease ends. A wake-up is a hint, never the truth: claim again to know. ``close`` wakes it.

        Raises:
            Closed: the broker has been closed.
        """

    def park(self, claim: Claim, seen: Seen, timeout: float | None) -> list[Lease] | None:
        """Wait as :meth:`wait` does, and claim in the very commit that brings a task.

        Returns what was claimed, which may be nothing: claim again to know. ``None``, at once, if this
        broker lets no claim wait, as none does but a broker process: :meth:`wait` for it.

        Raises: as :meth:`apply`.
        """
        return None

    def unpark(self, token: str | None = None) -> None:  # noqa: B027 - nothing is parked
        """Let the parked claims return at once, all or the one with this token."""

    @abstractmethod
    def close(self) -> None:
        """Finish what is in flight and free everything. Closing twice is the same as once."""
