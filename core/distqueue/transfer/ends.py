"""The two ends of a move, and whether one can be moved to the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import batched
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities, Durability, Ordering
from distqueue.commands import Clear, Fence, Stats
from distqueue.errors import Refused, Unsupported
from distqueue.fences import EVERY, FenceLevel
from distqueue.outcomes import expect
from distqueue.results import Cleared, Counted, Fenced, QueueStats

_DURABILITY: Final = [*Durability]
_FEATURES: Final = ("priorities", "delay", "groups", "unique", "expiry", "pause", "keep_done")


class End(msgspec.Struct, frozen=True, gc=False):
    """A store that queues are moved from or to; ``name`` is its URL without a password, always the same."""

    broker: Broker
    name: str

    @property
    def capabilities(self) -> Capabilities:
        """What the store promises."""
        return self.broker.capabilities

    @property
    def remembers(self) -> int | None:
        """How many ids of a queue it may remember, in all its shards; ``None``: no limit."""
        shards, most = self.fact("shards"), self.capabilities.dedup_max
        return most * shards if isinstance(shards, int) and most is not None else most

    def fence(self, queues: Iterable[str], level: FenceLevel, other: End) -> list[Fenced | Refused]:
        """Fence queues that move from or to another store, and return what came of each."""
        commands = [Fence(queue=queue, level=level, note=other.name) for queue in queues]
        return [
            outcome if isinstance(outcome, Refused) else expect(outcome, Fenced)
            for part in batched(commands, self.capabilities.max_batch)
            for outcome in self.broker.apply(part)
        ]

    def must_fence(self, queues: Iterable[str], level: FenceLevel, other: End) -> list[FenceLevel]:
        """Fence queues, and return the levels that stand now.

        Raises:
            Refused: one was refused; the others are fenced.
        """
        return [expect(outcome, Fenced).level for outcome in self.fence(queues, level, other)]

    def clear(self, queues: Iterable[str]) -> None:
        """Forget what queues hold that have moved or are being filled."""
        for queue in queues:
            expect(self.broker.apply([Clear(queue=queue)])[0], Cleared)

    def stats(self, queue: str) -> QueueStats:
        """Return the counts of a queue."""
        return self._counted(queue).queues[0]

    def queues(self) -> list[str]:
        """Return the names of all queues that there are."""
        return [each.queue for each in self._counted(EVERY).queues]

    def fact(self, name: str) -> object:
        """Return what the store says of itself under a name, ``None`` if that is nothing."""
        return self._counted("default").store.get(name)

    def fence_of_all(self) -> tuple[FenceLevel, object]:
        """Return the fence around queues that are not there yet, and its note."""
        return FenceLevel(str(self.fact("fence") or FenceLevel.NONE)), self.fact("fence_note")

    def _counted(self, queue: str) -> Counted:
        return expect(self.broker.apply([Stats(queue=queue)])[0], Counted)


def check_ends(source: End, target: End) -> list[str]:
    """Return what the destination promises less than the source, a sentence each.

    Raises:
        Refused: it is the same store.
        Unsupported: one of the backends cannot be fenced, or cannot list its tasks.
    """
    for end in (source, target):
        if not (end.capabilities.fence and end.capabilities.browse):
            raise Unsupported(
                f"the backend of {end.name} cannot fence its queues while they move; stop all programs that "
                "use it, then take the tasks along with `distqueue export` and `distqueue import`"
            )
    if source.name == target.name or any(_is_one(source, target, fact) for fact in ("path", "uuid")):
        raise Refused(f"{source.name} and {target.name} are the same store; name another one to move to")
    return list(_less(source.capabilities, target.capabilities))


def _is_one(source: End, target: End, fact: str) -> bool:
    """Whether both say the same of themselves under a name."""
    return (said := source.fact(fact)) is not None and said == target.fact(fact)


def missing_features(source: Capabilities, target: Capabilities) -> list[str]:
    """Return the names of what tasks of the source may need, and the destination does not have."""
    missing = [name for name in _FEATURES if getattr(source, name) and not getattr(target, name)]
    return missing + ["max_payload"] * (target.max_payload < source.max_payload)


def _less(source: Capabilities, target: Capabilities) -> Iterator[str]:
    if _DURABILITY.index(target.durability) < _DURABILITY.index(source.durability):
        yield f"its durability is {target.durability}, that of the source {source.durability}"
    if source.ordering is Ordering.QUEUE and target.ordering is not Ordering.QUEUE:
        yield f"its order reaches as far as {target.ordering}, that of the source through the queue"
    if _number(target.dedup_window) < _number(source.dedup_window):
        yield f"it remembers ids for {target.dedup_window:g} s, the source for {_shown(source.dedup_window)}"
    if _number(target.dedup_max) < _number(source.dedup_max):
        yield f"it remembers {target.dedup_max} ids of a queue, the source {source.dedup_max or 'all'}"


def _number(limit: float | None) -> float:
    return float("inf") if limit is None else limit


def _shown(seconds: float | None) -> str:
    return "ever" if seconds is None else f"{seconds:g} s"
