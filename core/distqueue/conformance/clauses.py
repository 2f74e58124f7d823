"""The contract as a registry of numbered clauses; each test of the suite is marked with its own.

A clause that belongs to a capability is checked both ways: where the capability is declared the test
has to pass, where it is not the same test checks that the backend refuses it with nothing stored. A clause
that asks something of the harness which that cannot do is not run, and that is seen in the report.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, Final, Protocol

import msgspec

from distqueue.capabilities import Capabilities, Durability, Ordering


class Clause(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of the contract.

    ``needs`` names the capabilities that it belongs to, and ``asks`` the abilities of the harness
    without which it is not run. ``since`` is the version of the contract that brought it, ``look`` says
    where to look when it does not hold. ``slow`` clauses are left out of a quick run.
    """

    id: str
    text: str
    needs: tuple[str, ...]
    asks: tuple[str, ...]
    since: str
    look: str
    slow: bool
    test: str

    @property
    def group(self) -> str:
        """The group of clauses that it is one of: ``GROUP`` of ``GROUP-4``."""
        return self.id.rpartition("-")[0]


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
    "transactional_enqueue": lambda has: has.transactional_enqueue,
    "shared_between_processes": lambda has: has.shared_between_processes,
    "attempts_apart_from_deliveries": lambda has: has.attempts_apart_from_deliveries,
}
"""How to read from a backend's declaration whether it has what a clause needs."""


class Subject(Protocol):
    """What a decorated test needs of the object that it is a method of."""

    def hold(self, clause: Clause, test: Callable[[], None]) -> None:
        """Hold a clause against the backend, and note what became of it."""


def clause[S: Subject, **P](
    id: str,  # noqa: A002 - what it is
    text: str,
    *,
    look: str,
    needs: str = "",
    asks: str = "",
    since: str = "1",
    slow: bool = False,
) -> Callable[[Callable[Concatenate[S, P], None]], Callable[Concatenate[S, P], None]]:
    """Register a clause and mark the test method that checks it; names are separated by spaces.

    >>> class Delays(Subject):
    ...     @clause("DELAY-1", "a delayed task is not claimed before it is due", needs="delay",
    ...             look="the clock that due times are compared with")
    ...     def test_a_delayed_task_waits(self) -> None: ...
    """

    def register(test: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
        if id in CLAUSES:
            raise ValueError(f"clause {id} is there twice: {CLAUSES[id].test} and {test.__qualname__}")
        registered = CLAUSES[id] = Clause(
            id=id,
            text=text,
            needs=tuple(needs.split()),
            asks=tuple(asks.split()),
            since=since,
            look=look,
            slow=slow,
            test=test.__qualname__,
        )

        @functools.wraps(test)
        def check(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            self.hold(registered, lambda: test(self, *args, **kwargs))

        check.clause = registered  # type: ignore[attr-defined]  # by which a report finds it
        return check

    return register


def clause_of(test: object) -> Clause | None:
    """Return the clause that a test function checks, if it is one of the suite's."""
    found = getattr(test, "clause", None)
    return found if isinstance(found, Clause) else None
