"""Reading what ``apply`` answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from distqueue.errors import BatchRefused, Held, Refused, ShardUnavailable, StoreFailed, StoreFull
from distqueue.results import Claimed, Lease, Outcome, Result

PASSING: Final = (StoreFull, ShardUnavailable, Held)
"""What a store says that takes the same command once there is room, the shard is there or nobody holds it."""


def expect[R: Result](outcome: Outcome, kind: type[R]) -> R:
    """Return a result as the kind that its command is answered with.

    Raises:
        Refused: the command was refused.
    """
    if type(outcome) is kind:
        return outcome
    if isinstance(outcome, Refused):
        raise outcome
    raise StoreFailed(f"the backend answered {outcome!r:.80}, not a {kind.__name__}; report it to its author")


def expect_all[R: Result](outcomes: Sequence[Outcome], kind: type[R], done: str) -> list[R]:
    """Return the results of many commands; ``done`` says what was done with those not refused.

    Raises:
        BatchRefused: at least one was refused; the others are carried out.
    """
    refused = [at for at, outcome in enumerate(outcomes) if type(outcome) is not kind]
    if not refused:
        return cast(list[R], outcomes)
    first = outcomes[refused[0]]
    if not isinstance(first, Refused):
        expect(first, kind)
    raise BatchRefused(
        f"{len(refused)} of {len(outcomes)} tasks were refused and the others {done}, see .outcomes; "
        f"the first is number {refused[0]}: {first}",
        outcomes,
    )


def leases_in(outcomes: Sequence[Outcome]) -> list[Lease]:
    """Return the tasks that were handed out."""
    return [lease for outcome in outcomes if isinstance(outcome, Claimed) for lease in outcome.leases]
