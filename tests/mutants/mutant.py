"""A mutant: a store that breaks its promises in one way, and the clauses that find that out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

MEMORY: Final = "memory://{name}"
JSON: Final = "json:///{tmp}/Queue.json"
SQLITE: Final = "sqlite:///{tmp}/queue.db"
SHARDED: Final = "sharded-json:///{tmp}/queue.d"


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake that an author of a backend, or of a layer above it, might make.

    ``wrong`` says in a sentence what it does, ``url`` names the real store that ``damage`` damages, in the
    process that calls it. ``caught_by`` are the clauses that have to fail then: not all that do, but those
    that are about this very promise.
    """

    name: str
    wrong: str
    url: str
    damage: Callable[[], None]
    caught_by: tuple[str, ...]
    is_served: bool = False
    """Whether the store is reached through the loop of a broker process, which may be damaged too."""


MUTANTS: Final[dict[str, Mutant]] = {}
"""Every mutant, by its name."""


def add(
    name: str,
    damage: Callable[[], None],
    wrong: str,
    *,
    caught_by: str,
    url: str = MEMORY,
    is_served: bool = False,
) -> None:
    """Register a mutant; the ids of the clauses are separated by spaces."""
    if name in MUTANTS:
        raise ValueError(f"there are two mutants called {name}")
    clauses = tuple(caught_by.split())
    MUTANTS[name] = Mutant(
        name=name, wrong=wrong, url=url, damage=damage, caught_by=clauses, is_served=is_served
    )


def mutant(
    wrong: str, *, caught_by: str, url: str = MEMORY, is_served: bool = False
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the mutant that the decorated function makes; it has the function's name.

    >>> @mutant("releases count as attempts", caught_by="COUNT-1")
    ... def a_release_counts() -> None: ...
    """

    def register(damage: Callable[[], None]) -> Callable[[], None]:
        name = damage.__name__.replace("_", "-")
        add(name, damage, wrong, caught_by=caught_by, url=url, is_served=is_served)
        return damage

    return register
