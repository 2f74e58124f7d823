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

    def outcome(self) -> Outcome | None:
        """Return the answer, ``None`` if it got nothing so far."""
        return Claimed(leases=self.leases) if self.leases else self._refusal

    def empty(self, shards: Shards) -> Claimed:
        """Return the answer that there is nothing."""
        wake_at = min((at for each in shards if (at := each.wake_at(self.queue)) is not None), default=None)
        return Claimed(leases=[], seen=Seen(self._rings, wake_at))


class Claims:
    """The claims of one call."""

    def __init__(self, shards: Shards, turns: Turns, bell: Bell) -> None:
        self._shards = shards
        self._turns = turns
        self._bell = bell
        self.handed_out = 0
        """How many bytes of payload they got so far."""

    def open(self, claim: Claim) -> OpenClaim:
        """Begin a claim.

        Raises:
            Refused: it is not a right command.
        """
        check_queue_name(claim.queue)
        check_command(claim)
        return OpenClaim(claim, self._bell)

    def carry_out(
        self, claims: dict[int, OpenClaim], outcomes: list[Outcome | None], ask: Ask, refresh: Refresh
    ) -> None:
        """Let neighbouring claims take what they can get, and write down their outcomes by position."""
        while plan := self._plan(claims, refresh):
            for shard, positions in plan.values():
                answers = ask(shard, [claims[position].command() for position in positions])
                for position, answer in zip(positions, answers):
                    self.handed_out += claims[position].take(shard, answer)
                    outcomes[position] = claims[position].outcome()
        for position, claim in claims.items():
            outcomes[position] = claim.outcome() or claim.empty(self._shards)

    def _plan(self, claims: dict[int, OpenClaim], refresh: Refresh) -> dict[int, tuple[Shard, list[int]]]:
        """Return which claims go to which shard next."""
        plan: dict[int, tuple[Shard, list[int]]] = {}
        if self.handed_out >= MAX_BATCH_BYTES:
            return plan
        for position, claim in claims.items():
            if not claim.missing:
                continue
            if (shard := self._turns.choose(claim.queue, claim.tried, refresh)) is not None:
                plan.setdefault(shard.number, (shard, []))[1].append(position)
        return plan
