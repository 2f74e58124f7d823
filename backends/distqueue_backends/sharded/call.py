"""One call: its commands divided among the shards, the answers by position.

Neighbouring commands about one task each are one commit a shard. A claim, and what concerns every shard,
waits for what is before it, and is waited for: so the order is that of the call. The syncs come last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import cast

from distqueue.commands import (
    READS,
    Ack,
    Cancel,
    Claim,
    Clear,
    Command,
    Fence,
    Find,
    Put,
    Redrive,
    Remembered,
)
from distqueue.errors import (
    OutcomeUnknown,
    Refused,
    ShardUnavailable,
    StoreBusy,
    StoreDamaged,
    StoreFailed,
    StoreMissing,
    StoreServed,
    UnsupportedFormat,
)
from distqueue.limits import check_command
from distqueue.results import Outcome
from distqueue_backends.sharded.claims import Claims, OpenClaim
from distqueue_backends.sharded.forwarding import Forwarding
from distqueue_backends.sharded.locating import locate
from distqueue_backends.sharded.merging import is_about_all, merge, page_of_memory, share
from distqueue_backends.sharded.shard import Shard
from distqueue_backends.sharded.shards import Shards
from distqueue_backends.sharded.syncing import Syncing


class Call:
    """The commands of one call, and what is known of their outcomes."""

    def __init__(
        self,
        shards: Shards,
        claims: Claims,
        forwarding: Forwarding,
        syncing: Syncing,
        commands: Sequence[Command],
    ) -> None:
        self._shards = shards
        self._claims = claims
        self._forwarding = forwarding
        self._syncing = syncing
        self._commands = commands
        self._outcomes: list[Outcome | None] = [None] * len(commands)
        self._written: dict[int, Shard] = {}
        self._is_begun = False

    def carry_out(self) -> list[Outcome]:
        """Carry out everything, and let it be on the disk."""
        try:
            for way, run in groupby(range(len(self._commands)), self._way):
                way(self, list(run))
        finally:
            self._sync()
        return [outcome for outcome in self._outcomes if outcome is not None]

    # --- Four ways in which commands go ----------------------------------------------------------

    def _way(self, position: int) -> Callable[[Call, list[int]], None]:
        command = self._commands[position]
        if type(command) is Ack:
            return Call._send_on if command.then and self._forwarding.concerns(command) else Call._divide
        if is_about_all(command):
            return Call._ask_all
        return Call._claim if type(command) is Claim else Call._divide

    def _divide(self, positions: list[int]) -> None:
        """Give each shard what is about its tasks."""
        parts: dict[int, tuple[Shard, list[int]]] = {}
        new: dict[str, Shard] = {}
        for position in positions:
            command = self._commands[position]
            try:
                shard = self._located(command, new)
                parts.setdefault(shard.number, (shard, []))[1].append(position)
            except Refused as refusal:
                self._outcomes[position] = refusal.with_traceback(None)
        for shard, part in parts.values():
            answers = self._ask(shard, [self._commands[position] for position in part])
            for position, answer in zip(part, answers):
                self._outcomes[position] = answer

    def _located(self, command: Command, new: dict[str, Shard]) -> Shard:
        """Return the shard of a command; ``new`` are those of the tasks that are put before it."""
        if not isinstance(command, Find | Cancel | Put | Redrive):
            return locate(self._shards, command, self._refresh)
        name = f"{command.queue}:{command.task_id}"
        shard = new.get(name) or locate(self._shards, command, self._refresh)
        if isinstance(command, Put):
            new[name] = shard
        return shard

    def _claim(self, positions: list[int]) -> None:
        """Let claims go from shard to shard until each has what it asks for, or there is no more."""
        claims: dict[int, OpenClaim] = {}
        for position in positions:
            try:
                claims[position] = self._claims.open(cast(Claim, self._commands[position]))
            except Refused as refusal:
                self._outcomes[position] = refusal.with_traceback(None)
        self._claims.carry_out(claims, self._outcomes, self._ask, self._refresh)

    def _ask_all(self, positions: list[int]) -> None:
        """Give every shard what is about all tasks."""
        for position in positions:
            command = self._commands[position]
            try:
                check_command(command)
                self._outcomes[position] = self._everywhere(command)
            except Refused as refusal:
                self._outcomes[position] = refusal.with_traceback(None)

    def _everywhere(self, command: Command) -> Outcome:
        if type(command) is Remembered:
            return page_of_memory(command, self._shards, self._ask)
        if isinstance(command, Fence | Clear) and self._shards.damage:
            raise self._shards.refusal(min(self._shards.damage))
        if type(command) is Fence:
            self._sync()
            with self._kept(None), self._forwarding.at_rest():
                self._check_fence(command)
                return self._in_every_shard(command)
        return self._in_every_shard(command)

    def _check_fence(self, fence: Fence) -> None:
        """Refuse a fence that cannot be put up in some shard before it is in another."""
        for shard in self._shards:
            self._refresh(shard)
            shard.check_fence(fence)

    def _in_every_shard(self, command: Command) -> Outcome:
        answers = [
            (shard.number, self._ask(shard, [share(command, shard.number)])[0]) for shard in self._shards
        ]
        sound = [each for each in answers if self._shards.get(each[0]) is not None]
        return self._merged(command, sound or answers)

    def _merged(self, command: Command, answers: Sequence[tuple[int, Outcome]]) -> Outcome:
        refusals = [answer for _, answer in answers if isinstance(answer, Refused)]
        if not refusals:
            return merge(command, answers, self._shards)
        if len(refusals) < len(answers) and not isinstance(command, READS):
            raise OutcomeUnknown(f"carried out in some shards only, as one refused: {refusals[0]}")
        return refusals[0]

    def _send_on(self, positions: list[int]) -> None:
        """Carry out acks that have follow-up tasks in other shards, and send those there."""
        try:
            with self._kept(None):
                self._forwarding.begin()
        except ShardUnavailable as refusal:
            for position in positions:
                self._outcomes[position] = refusal.with_traceback(None)
            return
        try:
            sources = self._ack_and_pack(positions)
            self._sync()  # an ack is on the disk before its follow-up tasks are anywhere else
            for source in sources:
                self._forwarding.forward(source)
        finally:
            self._forwarding.end()

    def _ack_and_pack(self, positions: list[int]) -> list[Shard]:
        sources: dict[int, Shard] = {}
        for position in positions:
            ack = cast(Ack, self._commands[position])
            try:
                shard = locate(self._shards, ack, self._refresh)
                known = self._forwarding.expect(ack, shard, self._ask)
                answer = self._ask(shard, [ack])[0]
                self._outcomes[position] = self._forwarding.answer(ack, answer, known)
                sources[shard.number] = shard
            except Refused as refusal:
                self._outcomes[position] = refusal.with_traceback(None)
        return list(sources.values())

    # --- A shard, and what may go wrong with it ---------------------------------------------------

    def _ask(self, shard: Shard, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands in one shard, but for the sync."""
        try:
            with self._kept(shard):
                shard.handed_out = self._claims.handed_out
                outcomes = shard.write(commands)
        except ShardUnavailable as refusal:
            return [refusal.with_traceback(None) for _ in commands]
        self._written[shard.number] = shard
        self._is_begun = self._is_begun or bool(commands)
        return outcomes

    def _refresh(self, shard: Shard) -> None:
        """Read what others did in a shard."""
        self._ask(shard, [])

    @contextmanager
    def _kept(self, shard: Shard | None) -> Iterator[None]:
        """Say of what goes wrong in a shard what that means for the whole call."""
        try:
            yield
        except StoreServed as served:
            raise StoreServed(str(served), served.address, self._outcomes if self._is_begun else ()) from None
        except StoreBusy as busy:
            if not self._is_begun:
                raise
            raise ShardUnavailable(str(busy)) from None
        except (StoreDamaged, StoreMissing, UnsupportedFormat) as damage:
            if shard is None:
                raise
            raise self._shards.lose(shard, damage) from None
        except StoreFailed as failure:
            if not self._is_begun:
                raise
            raise OutcomeUnknown(
                f"{failure}; commands for other shards of this call may be stored"
            ) from failure

    def _sync(self) -> None:
        written = list(self._written.values())
        self._written.clear()
        self._syncing.sync(written)
