"""What the model allows as an answer: an outcome by its kind and by what its fields have to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from distqueue.errors import Refused
from distqueue.results import Lease, Outcome

SLACK: Final = 20.0
"""By how many seconds a time may differ from the model's, as a store reads its own clock."""


@dataclass(frozen=True)
class Fields:
    """Something with these attributes, whatever else it has."""

    values: Mapping[str, object]


@dataclass(frozen=True)
class Between:
    """A number from ``least`` to ``most``."""

    least: int
    most: int


@dataclass(frozen=True)
class AnyOrder:
    """These tasks in any order."""

    tasks: Sequence[Fields]


class Anything:
    """Whatever it is: the contract does not say."""

    def __repr__(self) -> str:
        return "anything"


ANYTHING: Final = Anything()


def agrees(expected: object, actual: Any) -> bool:
    """Whether a value is as expected; times may be off by the slack."""
    match expected:
        case Anything():
            return True
        case Fields(values):
            return actual is not None and all(
                agrees(each, getattr(actual, name)) for name, each in values.items()
            )
        case Between(least, most):
            return least <= int(actual) <= most
        case float():
            return actual is not None and abs(expected - float(actual)) <= SLACK
        case AnyOrder(tasks):
            by_id = sorted(tasks, key=lambda task: str(task.values["task_id"]))
            return agrees(by_id, sorted(actual, key=lambda task: str(task.task_id)))
        case list():
            return len(expected) == len(actual) and all(map(agrees, expected, actual))
        case bytes():
            return expected == bytes(actual)
    return bool(expected == actual)


@dataclass(frozen=True)
class Possible:
    """One answer that is allowed, and what becomes of the model if it is given."""

    kind: type
    values: Mapping[str, object] = field(default_factory=dict)
    effect: Callable[[Any], None] = lambda outcome: None

    @property
    def is_refusal(self) -> bool:
        """Whether nothing was changed."""
        return issubclass(self.kind, Refused)

    def fits(self, outcome: Outcome) -> bool:
        """Whether this is the outcome."""
        return isinstance(outcome, self.kind) and agrees(Fields(self.values), outcome)

    def __str__(self) -> str:
        return f"{self.kind.__name__}({', '.join(f'{k}={v!r}' for k, v in self.values.items())})"


@dataclass(frozen=True)
class Takes(Possible):
    """A claim of so many of these tasks: the first ones, or any where no order is promised."""

    offers: Sequence[Fields] = ()
    count: int = 0
    in_order: bool = True
    used: frozenset[str] = frozenset()

    def fits(self, outcome: Outcome) -> bool:
        if not isinstance(outcome, self.kind):
            return False
        leases: list[Lease] = outcome.leases  # type: ignore[union-attr]  # it is of the kind
        receipts = {lease.receipt for lease in leases}
        if len(leases) != self.count or len(receipts) != self.count or receipts & self.used:
            return False
        offers = {str(offer.values["task_id"]): offer for offer in self.offers}
        wanted = list(offers)[: self.count] if self.in_order else [lease.task_id for lease in leases]
        return len(set(wanted)) == self.count and all(
            name in offers and agrees(offers[name], lease) for name, lease in zip(wanted, leases)
        )

    def __str__(self) -> str:
        order = "the first" if self.in_order else "any"
        return f"{order} {self.count} of {[dict(offer.values) for offer in self.offers]}, with new receipts"
