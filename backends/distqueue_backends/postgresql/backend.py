"""``postgresql:``: a schema of a PostgreSQL database, shared by any number of machines.

Each verb is one function in the database, called with arrays. What is asked with one call of ``apply`` is one
transaction; a single verb is one statement, and so one round trip (``docs/decisions/0017``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, Final, Self, cast

import msgspec
import psycopg

from distqueue import commands as c
from distqueue.backend import Migration
from distqueue.capabilities import Capabilities, Durability, WakeUp
from distqueue.commands import Ack, Command, Put
from distqueue.errors import Closed, Refused, StoreBusy, StoreFailed, TaskNotFound
from distqueue.fences import EVERY, OPEN, FenceLevel, Fencing
from distqueue.forking import close_after_fork
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.outcomes import expect
from distqueue.results import (
    Browsed,
    Claimed,
    Cleared,
    Counted,
    Fenced,
    Loaded,
    Outcome,
    PauseSet,
    Purged,
    Redriven,
    Removed,
    Seen,
    Settled,
    Stored,
)
from distqueue.retry import Backoff
from distqueue.task import RememberedTask, TaskRecord, TaskState
from distqueue.urls import StoreURL
from distqueue_backends.postgresql import administration, migrating, reading
from distqueue_backends.postgresql.bells import TIDY_AT_END, Bells, bells_of, channel_of, let_go
from distqueue_backends.postgresql.claiming import (
    ACK_AND_CLAIM,
    CLAIM,
    Claiming,
    divided,
)
from distqueue_backends.postgresql.conninfo import parameters
from distqueue_backends.postgresql.hint import Hint
from distqueue_backends.postgresql.options import POSTGRES_CAPABILITIES, PostgresOptions, Switch
from distqueue_backends.postgresql.reading import sayable
from distqueue_backends.postgresql.refusals import fenced
from distqueue_backends.postgresql.schema import check_version
from distqueue_backends.postgresql.server import look_at, settings
from distqueue_backends.postgresql.session import Lost, Session, complaint
from distqueue_backends.postgresql.settling import Settling, check_known, checked, settle, without_repeats
from distqueue_backends.postgresql.transactions import Transactions
from distqueue_backends.postgresql.within import ApplicationTransaction
from distqueue_backends.postgresql.writing import by_queue, put_by_queue
from distqueue_backends.table.steps import check_together

RECLAIM: Final = "SELECT * FROM {}.reclaim(%s, %s)"
CANCEL: Final = "SELECT * FROM {}.cancel(%s, %s)"
PURGE: Final = "SELECT * FROM {}.purge(%s, %s::text[])"
REDRIVE: Final = "SELECT * FROM {}.redrive(%s, %s::text, %b::bytea)"
SET_PAUSED: Final = "SELECT * FROM {}.set_paused(%s, %s)"
TIDY: Final = "SELECT {}.tidy(%s::float8, %s::int4)"
QUEUES: Final = "SELECT name, fence, note FROM {}.queue ORDER BY name"
_NO_FENCE: Final = (FenceLevel.NONE.value,)
_LETS_SETTLE: Final = (FenceLevel.NONE.value, FenceLevel.DRAINING.value)


class PostgresBackend(Transactions):
    """A schema, with a connection of its own; the opens of one process share another one to be woken by."""

    @classmethod
    def open(cls, url: StoreURL, options: PostgresOptions, *, create: bool) -> Self:
        """Open the store in the URL's database.

        Raises:
            StoreMissing, UnsupportedFormat: it was not migrated, or by another version.
            StoreBusy, StoreError: it cannot be reached, or is not one to trust tasks to.
        """
        return cls(url, options)

    @classmethod
    def migrate(
        cls, url: StoreURL, options: PostgresOptions, *, only_sql: bool, since: int | None = None
    ) -> Migration:
        return migrating.say_how(url, options, since) if only_sql else migrating.migrate(url, options)

    @classmethod
    def within(cls, url: StoreURL, options: PostgresOptions, connection: object) -> ApplicationTransaction:
        return ApplicationTransaction(url, options, connection)

    def __init__(self, url: StoreURL, options: PostgresOptions) -> None:
        self._parameters = parameters(url, options)
        is_pooled = options.listen is Switch.OFF
        session = Session(
            self._parameters, settings(options), is_pooled=is_pooled, inspect=self._look_at_server
        )
        super().__init__(url, options, session)
        self._window = options.dedup_window
        self._hints: dict[str, Hint] = {}
        try:
            self.session.connect(options.connect_timeout)
            check_version(self.session.connection, options.schema, str(url))
            ((now, self._uuid),) = self.session.execute(
                f"SELECT {self.schema}.clock(), uuid::text FROM {self.schema}.store"
            )
            self.ahead = now - time.time()
        except psycopg.Error as error:
            self.session.drop()
            raise StoreFailed(f"{url} cannot be used: {complaint(error, self.schema)}") from error
        except BaseException:
            self.session.drop()
            raise
        self._store = f"{sorted(self._parameters.items())} {options.schema} {options.listen}"
        self._bells = bells_of(self._store, self._make_bells)
        close_after_fork(self)

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def _declared(self) -> Capabilities:
        return msgspec.structs.replace(
            POSTGRES_CAPABILITIES,
            durability=Durability.REPLICATED if self._server.is_replicated else Durability.FSYNC,
            wake_up=WakeUp.POLL if self.session.is_pooled else WakeUp.PUSH,
            dedup_window=self.options.dedup_window,
            dedup_max=self.options.dedup_max,
        )

    def _look_at_server(self, session: Session) -> None:
        """See to it that the server of a new connection keeps what it commits, and declare what it is now."""
        self._server = look_at(session, str(self.url))
        self._capabilities = self._declared()
        # Said even if it is so: else it would follow the server's configuration, which can be loaded again.
        session.hold("synchronous_commit", self._server.commit)

    def _make_bells(self) -> Bells:
        # A notification that is lost is none that anybody relies on.
        settled = settings(self.options) | {"synchronous_commit": "off"}
        session = Session(self._parameters, settled, is_pooled=self.session.is_pooled)
        return Bells(
            session,
            channel_of(self.options.schema),
            self._tidy,
            may_listen=not self.session.is_pooled,
        )

    def _tidy(self, session: Session) -> bool:
        connection = session.connection
        with session.transaction(connection):
            keeps = (self.options.dedup_window, self.options.dedup_max)
            ((are_left,),) = session.query(connection, TIDY.replace("{}", self.schema), keeps)
        return bool(are_left)

    def tell(self) -> None:
        self._bells.ring(self.rung, is_dirty=self.is_dirty)

    # --- Neighbours together ------------------------------------------------------------------------

    def carry_out(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for kind, run in groupby(commands, type):
            if kind is Put:
                outcomes += self._allowed(run, self._checked_put, self.put)
            elif kind is Ack:
                outcomes += self._allowed(run, self._checked_ack, self.ack)
            elif issubclass(kind, c.Settle):
                outcomes += self._allowed(run, checked, self._settle_all)
            else:
                outcomes += [self._one(command) for command in run]
        return outcomes

    def put(self, tasks: Sequence[Put]) -> list[Outcome]:
        return self._put(tasks, _NO_FENCE)

    def _put(self, tasks: Sequence[Put], levels: Sequence[str]) -> list[Outcome]:
        self.rung.update([put.queue for put in tasks])
        return put_by_queue(self.ask, tasks, levels, self._window)

    def ack(self, acks: Sequence[Ack]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for has_follow_ups, run in groupby(acks, lambda ack: bool(ack.then)):
            if has_follow_ups:
                outcomes += [self._ack_then(ack) for ack in run]
            else:
                outcomes += self._settle_all(list(run))
        return outcomes

    def _settle_all(self, commands: Sequence[c.Settle]) -> list[Outcome]:
        self.is_dirty = True
        outcomes: list[Any] = [None] * len(commands)
        for queue, positions in by_queue(commands).items():
            chosen = [commands[position] for position in positions]
            answers: list[Outcome] = []
            for part in without_repeats(chosen):
                done = settle(self.ask, queue, part, self._window)
                answers += done.outcomes
                if done.has_freed or isinstance(part[0], c.Extend):
                    self.rung.add(queue)
            for position, outcome in zip(positions, answers):
                outcomes[position] = outcome
        return outcomes

    def _ack_then(self, ack: Ack) -> Outcome:
        """Ack a delivery and put what follows it, or do nothing."""
        try:
            check_together(ack.then)
            with self.in_use.transaction():
                done = settle(self.ask, ack.queue, [ack], self._window)
                if done.has_freed:
                    self.rung.add(ack.queue)
                (settled,) = done.outcomes
                if not isinstance(settled, Settled):
                    return settled
                stored = self._put(ack.then, _LETS_SETTLE)
                if done.repeated:
                    check_known(settled.task_id, ack.then, stored)
                then = tuple([expect(each, Stored) for each in stored])
                return msgspec.structs.replace(settled, then=then)
        except Refused as refusal:
            return refusal.with_traceback(None)

    # --- Verbs, one by one --------------------------------------------------------------------------

    def claim(self, queue: str, count: int, lease: float, token: str) -> Claimed:
        if self.handed_out >= MAX_BATCH_BYTES:
            return Claimed(leases=[])  # what the claims before it got fills the answer: claim again
        claiming = self._claiming(c.Claim(queue=queue, count=count, lease=lease, token=token))
        return self._claimed(claiming, self.ask(CLAIM, claiming.asked))

    def ack_and_claim(self, commands: Sequence[Command]) -> list[Outcome]:
        acks, claim = cast(Sequence[Ack], commands[:-1]), cast(c.Claim, commands[-1])
        settling = Settling(acks[0].queue, acks, self._window)
        if settling.asked is None:
            return [*settling.answered([]).outcomes, self._one(claim)]
        self.is_dirty = True
        claiming = self._claiming(claim)
        acked, rows = divided(self.ask(ACK_AND_CLAIM, (*settling.asked[1], *claiming.asked)))
        done = settling.answered(acked)
        if done.has_freed:
            self.rung.add(acks[0].queue)
        try:
            return [*done.outcomes, self._claimed(claiming, rows)]
        except Refused as refusal:
            return [*done.outcomes, refusal.with_traceback(None)]

    def _claiming(self, claim: c.Claim) -> Claiming:
        hint = self._hints.setdefault(claim.queue, Hint())
        room = MAX_BATCH_BYTES - self.handed_out
        return Claiming(claim, hint, room, self._bells.version(claim.queue), self.ask)

    def _claimed(self, claiming: Claiming, rows: Sequence[Any]) -> Claimed:
        claimed = claiming.claimed(rows)
        if claiming.ahead is not None:
            self.ahead = claiming.ahead
        self.handed_out += sum([len(each.data) for each in claimed.leases])
        return claimed

    def reclaim(self, queue: str, token: str) -> Claimed:
        return Claimed(leases=[reading.lease_of(row, token) for row in self.ask(RECLAIM, (queue, token))])

    def retry(
        self,
        queue: str,
        receipt: str,
        delay: float | None,
        backoff: Backoff,
        error: str | None,
        traceback: str | None,
    ) -> Settled:
        return self._settled(
            c.Retry(
                queue=queue, receipt=receipt, delay=delay, backoff=backoff, error=error, traceback=traceback
            )
        )

    def release(self, queue: str, receipt: str, delay: float) -> Settled:
        return self._settled(c.Release(queue=queue, receipt=receipt, delay=delay))

    def reject(self, queue: str, receipt: str, error: str | None, traceback: str | None) -> Settled:
        return self._settled(c.Reject(queue=queue, receipt=receipt, error=error, traceback=traceback))

    def extend(self, queue: str, receipt: str, lease: float) -> Settled:
        return self._settled(c.Extend(queue=queue, receipt=receipt, lease=lease))

    def _settled(self, command: c.Settle) -> Settled:
        (outcome,) = self._settle_all([command])
        if isinstance(outcome, Refused):
            raise outcome
        assert isinstance(outcome, Settled)  # noqa: S101 - for the type checker
        return outcome

    # --- Administration -----------------------------------------------------------------------------

    def cancel(self, queue: str, task_id: str) -> Removed:
        code, state, _ = self._administer(queue, CANCEL, sayable(task_id))
        if code == "missing":
            raise TaskNotFound(f"there is no task {task_id} in queue {queue}; it may be done already")
        return Removed(task_id=task_id, state=TaskState(state))

    def redrive(self, queue: str, task_id: str | None, error: str | None) -> Redriven:
        text = None if error is None else error.encode(errors="backslashreplace")
        code, count, _, refused = self._administer(queue, REDRIVE, sayable(task_id), text)
        if code == "missing":
            raise TaskNotFound(f"there is no dead task {task_id} in queue {queue}")
        return Redriven(count=int(count), refused=tuple(refused))

    def purge(self, queue: str, states: Sequence[TaskState]) -> Purged:
        wanted = [TaskState(state).value for state in states or TaskState]
        _, count, _ = self._administer(queue, PURGE, wanted)
        return Purged(count=int(count))

    def pause(self, queue: str, paused: bool) -> PauseSet:
        self._administer(queue, SET_PAUSED, paused)
        return PauseSet(paused=paused)

    def fence(self, queue: str, level: FenceLevel, note: str) -> Fenced:
        self.rung.add(queue)
        return administration.set_fence(self.ask, queue, level, note)

    def clear(self, queue: str) -> Cleared:
        self.rung.add(queue)
        administration.clear(self.ask, queue)
        return Cleared()

    def load(self, record: TaskRecord | RememberedTask, source: str) -> Loaded:
        self.rung.add(record.queue)
        return administration.load(self.ask, record, source, self._window)

    def _administer(self, queue: str, statement: str, *arguments: Any) -> tuple[Any, ...]:
        """Ask for something that changes a queue; return the code and what belongs to it."""
        self.rung.add(queue)
        self.is_dirty = True
        (row,) = self.ask(statement, (queue, *arguments))
        if row[0] == "fence":
            raise fenced(queue, row[1], row[2])
        return tuple(row)

    # --- Reading --------------------------------------------------------------------------------------

    def find(self, queue: str, task_id: str) -> TaskRecord | None:
        return reading.find(self.ask, queue, task_id)

    def browse(
        self, queue: str, states: Sequence[TaskState], order: str, limit: int, after: int | None
    ) -> Browsed:
        return reading.browse(self.ask, queue, states, order, limit, after)

    def remembered(self, queue: str, limit: int, after: int | None) -> Browsed:
        return reading.remembered(self.ask, queue, limit, after)

    def stats(self, queue: str) -> Counted:
        rows = self.ask(QUEUES)
        every = next((Fencing.of(FenceLevel(row[1]), row[2]) for row in rows if row[0] == EVERY), OPEN)
        names = [row[0] for row in rows if row[0] != EVERY] if queue == EVERY else [queue]
        counted = [reading.stats_of(name, self.ask(reading.COUNTS, (name,))[0]) for name in names]
        store: dict[str, int | float | str | bool] = {
            "postgresql": self._server.version,
            "schema": self.options.schema,
            "uuid": self._uuid,
        }
        if every is not OPEN:
            store |= {"fence": every.level.value, "fence_note": every.note}
        return Counted(queues=counted, store=store)

    # --- Waiting ----------------------------------------------------------------------------------------

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        if self._closing.is_set():
            raise Closed("the store is closed; open the URL again")
        longest = float("inf") if timeout is None else timeout
        if seen.wake_at is not None:
            longest = min(longest, max(0.0, seen.wake_at - self.ahead - time.time()))
        return self._bells.wait(queue, seen.version, longest, self._closing)

    # --- The end --------------------------------------------------------------------------------------

    def shut(self) -> None:
        # A process that ends soon leaves its share of the ids to nobody else: there may be no others.
        if let_go(self._store, self._bells) and not self.session.broke():
            until = time.monotonic() + TIDY_AT_END
            with suppress(Lost, StoreBusy, psycopg.Error):
                while self._tidy(self.session) and time.monotonic() < until:
                    pass
        self.session.drop()

    def leave_to_parent(self) -> None:
        """Close the connection that a fork copied; the server goes on to serve the parent by it."""
        self.session.leave_to_parent()
