"""The claims of a call: each goes from shard to shard until it has what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from distqueue.commands import Claim, Command
from distqueue.errors import ShardUnavailable
from distqueue.limits import MAX_BATCH_BYTES, check_command, check_queue_name
from distqueue.results import Claimed, Lease, Outcome, Seen
from distqueue_backends.bell import Bell
from distqueue_backends.sharded.shard import Shard
from distqueue_backends.sharded.shards import Shards
from distqueue_backends.sharded.turns import Turns

type Ask = Callable[[Shard, Sequence[Command]], list[Outcome]]
type Refresh = Callable[[Shard], None]


class OpenClaim:
    """A claim that has not been answered yet: what it got so far, and where."""

    def __init__(self, claim: Claim, bell: Bell) -> None:
        self._claim = claim
        self._rings = bell.rings()  # before any shard is looked into, so that no ring is lost
        self._refusal: Outcome | None = None
        self.leases: list[Lease] = []
        self.tried: set[int] = set()

    @property
    def queue(self) -> str:
        """The queue that it is about."""
        return self._claim.queue

    @property
    def missing(self) -> int:
        """How many tasks it may still take."""
        return 0 if self._refusal is not None else self._claim.count - len(self.leases)

    def command(self) -> Claim:
        """Return the claim of what is missing."""
        return replace(self._claim, count=self.missing) if self.leases else self._claim

    def take(self, shard: Shard, answer: Outcome) -> int:
        """Take in what a shard answered; return how many bytes of payload that is."""
        self.tried.add(shard.number)
        if isinstance(answer, Claimed):
            self.leases += answer.leases
            return sum([len(lease.data) for lease in answer.leases])
        if not isinstance(answer, ShardUnavailable):
            self._refusal = answer
        return 0

    def outcome(self, shards: Shards, *, is_over: bool) -> Outcome | None:
        """Return the answer, ``None`` if it got nothing but may get something yet."""
        if self.leases:
            return Claimed(leases=self.leases)
        if self._refusal is not None or not is_over:
            return self._refusal
        wake_at = min((at for each in shards if (at := each.wake_at(self.queue)) is not None), default=None)
        return Claimed(leases=[], seen=Seen(self._rings, wake_at))


class Claims:
    """All claims of one call, by the position of their command."""

    def __init__(self, shards: Shards, turns: Turns, bell: Bell) -> None:
        self._shards = shards
        self._turns = turns
        self._bell = bell
        self._open: dict[int, OpenClaim] = {}
        self.handed_out = 0

    def begin(self, position: int, claim: Claim, refresh: Refresh) -> Shard | None:
        """Begin a claim; return the shard to ask first, ``None`` if there is nothing to be had.

        Raises:
            Refused: it is not a right claim.
        """
        check_queue_name(claim.queue)
        check_command(claim)
        self._open[position] = OpenClaim(claim, self._bell)
        return self._turns.choose(claim.queue, (), refresh)

    def take(self, position: int, shard: Shard, answer: Outcome) -> Outcome | None:
        """Take in an answer; return what is known of the outcome."""
        claim = self._open[position]
        self.handed_out += claim.take(shard, answer)
        return claim.outcome(self._shards, is_over=False)

    def finish(self, ask: Ask, refresh: Refresh, outcomes: list[Outcome | None]) -> None:
        """Ask further shards for what is missing, and write down the outcomes."""
        while plan := self._plan(refresh):
            for shard, positions in plan.values():
                answers = ask(shard, [self._open[position].command() for position in positions])
                for position, answer in zip(positions, answers):
                    outcomes[position] = self.take(position, shard, answer)
        for position, claim in self._open.items():
            outcomes[position] = claim.outcome(self._shards, is_over=True)
        self._open.clear()

    def _plan(self, refresh: Refresh) -> dict[int, tuple[Shard, list[int]]]:
        """Return which claims go to which shard next."""
        plan: dict[int, tuple[Shard, list[int]]] = {}
        if self.handed_out >= MAX_BATCH_BYTES:
            return plan
        for position, claim in self._open.items():
            if not claim.missing:
                continue
            if (shard := self._turns.choose(claim.queue, claim.tried, refresh)) is not None:
                plan.setdefault(shard.number, (shard, []))[1].append(position)
        return plan
