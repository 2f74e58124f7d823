"""The contract as a registry of numbered clauses; each test of the suite is marked with its own.

A clause that belongs to a capability is checked both ways: where the capability is declared the test
has to pass, where it is not the same test checks that the backend refuses it with nothing stored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, Final, Protocol

import msgspec

from distqueue.capabilities import Capabilities, Durability, Ordering


class Clause(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of the contract. ``needs`` names the capabilities that it belongs to, if any."""

    id: str
    text: str
    needs: tuple[str, ...]
    test: str


CLAUSES: Final[dict[str, Clause]] = {}
"""Every clause, by its id, in the order of definition."""

DECLARED: Final[dict[str, Callable[[Capabilities], bool]]] = {
    "durability": lambda has: has.durability is not Durability.MEMORY,
    "ordering": lambda has: has.ordering is Ordering.QUEUE,
    "atomic_batch": lambda has: has.atomic_batch,
    "fenced_receipts": lambda has: has.fenced_receipts,
    "priorities": lambda has: has.priorities,
    "delay": lambda has: has.delay,
    "groups": lambda has: has.groups,
    "unique": lambda has: has.unique,
    "dedup": lambda has: has.dedup_window != 0 and has.dedup_max != 0,
    "expiry": lambda has: has.expiry,
    "pause": lambda has: has.pause,
    "fence": lambda has: has.fence,
    "browse": lambda has: has.browse,
    "keep_done": lambda has: has.keep_done,
    "shared_between_processes": lambda has: has.shared_between_processes,
    "attempts_apart_from_deliveries": lambda has: has.attempts_apart_from_deliveries,
}
"""How to read from a backend's declaration whether it has what a clause needs."""


class Checked(Protocol):
    """What a decorated test needs of the object that it is a method of."""

    def lacks(self, capability: str) -> bool:
        """Whether the backend does not declare the capability."""

    def check_without(self, capability: str) -> None:
        """Check what has to hold without the capability."""


def clause[S: Checked, **P](
    id: str,  # noqa: A002 - what it is
    text: str,
    *,
    needs: str = "",
) -> Callable[[Callable[Concatenate[S, P], None]], Callable[Concatenate[S, P], None]]:
    """Register a clause and mark the test method that checks it; ``needs`` is separated by spaces.

    >>> class Delays(Subject):
    ...     @clause("DELAY-1", "a delayed task is not claimed before it is due", needs="delay")
    ...     def test_a_delayed_task_waits(self) -> None: ...
    """

    def register(test: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
        if id in CLAUSES:
            raise ValueError(f"clause {id} is there twice: {CLAUSES[id].test} and {test.__qualname__}")
        CLAUSES[id] = Clause(id=id, text=text, needs=tuple(needs.split()), test=test.__qualname__)
        return _both_ways(test, CLAUSES[id].needs) if needs else test

    return register


def _both_ways[S: Checked, **P](
    test: Callable[Concatenate[S, P], None], needs: tuple[str, ...]
) -> Callable[Concatenate[S, P], None]:
    @functools.wraps(test)
    def check(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        missing = [capability for capability in needs if self.lacks(capability)]
        if missing:
            self.check_without(missing[0])
        else:
            test(self, *args, **kwargs)

    return check
