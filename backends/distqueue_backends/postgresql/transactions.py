"""Carrying out the commands of a call in one transaction, whatever becomes of the connection meanwhile."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus

from distqueue import commands as c
from distqueue.backend import Backend
from distqueue.broker.again import apply_again
from distqueue.commands import Command
from distqueue.errors import (
    Closed,
    Held,
    InvalidTask,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFailed,
    StoreFull,
)
from distqueue.limits import check_batch
from distqueue.results import Outcome
from distqueue.urls import StoreURL
from distqueue_backends.postgresql.columns import Column, Encode, encoders
from distqueue_backends.postgresql.options import PostgresOptions
from distqueue_backends.postgresql.server import in_milliseconds
from distqueue_backends.postgresql.session import Connection, Lost, Session, complaint, first_line
from distqueue_backends.postgresql.shapes import TOGETHER, Shape, shape_of

ALONE: Final = 0.02
"""How long a command among others waits for somebody's transaction, once one of them had to, in seconds."""
_REPEATABLE: Final = (*TOGETHER, c.Claim, *c.READS)
BLOCKED: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
"""What is raised where somebody else's transaction holds what is needed."""
_UNDONE: Final = (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.IdleInTransactionSessionTimeout)
"""What is raised by a server that has certainly done nothing: a standby, or one that was kept waiting."""
_UNBINDABLE: Final = (psycopg.DataError, UnicodeEncodeError, OverflowError)


class Transactions(Backend):
    """What a backend does around its verbs, which ask the database by :meth:`ask`.

    ``session`` is the connection; ``ahead`` by how much the server's clock is before that of this machine.
    """

    def __init__(self, url: StoreURL, options: PostgresOptions, session: Session) -> None:
        super().__init__()
        self.url = url
        self.options = options
        self.schema = f'"{options.schema}"'
        self.session = session
        self.ahead = 0.0
        self.rung: set[str] = set()
        """The queues in which there may be something to claim once the transaction is committed."""
        self.is_dirty = False
        """Whether ids have come to be remembered."""
        self.handed_out = 0
        """How many payload bytes the claims of the call have got."""
        self.in_use: Connection
        self._statements: dict[str, tuple[str, list[tuple[int, Encode]]]] = {}

    @abstractmethod
    def tell(self) -> None:
        """Tell who waits of what was committed."""

    @abstractmethod
    def ack_and_claim(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands of this shape by one statement."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if self._closing.is_set():
            raise Closed("the store is closed; open the URL again")
        check_batch(commands, self.capabilities)
        began = time.time() + self.ahead
        changes = not all(isinstance(command, c.READS) for command in commands)
        sent, deadline = False, 0.0
        while True:
            try:
                if deadline:
                    self.session.connect(max(0.1, deadline - time.monotonic()))
                return apply_again(self._transact, commands, began) if sent else self._transact(commands)
            except Lost as lost:
                sent, why = sent or (lost.sent and changes), str(lost)
            except StoreError as error:
                if sent:
                    raise OutcomeUnknown(f"{error}; repeat it with the same task ids") from None
                raise
            if sent and not all(isinstance(command, _REPEATABLE) for command in commands):
                raise OutcomeUnknown(
                    f"{why}; what was asked may or may not have been done: look before again"
                )
            deadline = deadline or time.monotonic() + self.options.connect_timeout
            if time.monotonic() >= deadline:
                raise (OutcomeUnknown if sent else StoreBusy)(f"{why}; repeat it with the same task ids")

    def _transact(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands in one transaction.

        Raises:
            Lost: the connection broke.
        """
        if not commands:
            return []
        self.session.abandon_unfinished()
        self.in_use = self.session.connection
        try:
            try:
                return self._committed(commands)
            except (*BLOCKED, *_UNBINDABLE) as error:
                if len(commands) == 1 and isinstance(error, BLOCKED):
                    return self._patiently(commands)
                return self._each_alone(commands)
        except BLOCKED as error:
            raise busy(self.url, error) from None
        except psycopg.errors.DiskFull as error:
            full = f"{self.url} has no room ({first_line(error)}); nothing was stored"
            return [StoreFull(full) for _ in commands]
        except psycopg.Error as error:
            is_undone = isinstance(error, _UNDONE)
            if is_undone or self.session.broke() or isinstance(error, psycopg.errors.AdminShutdown):
                self.session.abandon()
                why = f"the connection to {self.url} broke: {first_line(error)}"
                raise Lost(why, sent=not is_undone) from None
            why = complaint(error, self.schema)
            raise StoreFailed(f"{self.url} reports: {why}; nothing was stored") from error

    def _committed(self, commands: Sequence[Command]) -> list[Outcome]:
        self._begin()
        shape = shape_of(commands)
        if shape is Shape.READS:
            return self._seen_at_once(commands)
        is_transaction = shape is Shape.TRANSACTION or self.session.is_pooled
        with self.session.transaction(self.in_use) if is_transaction else nullcontext():
            if shape is Shape.ACK_AND_CLAIM:
                outcomes = self.ack_and_claim(commands)
            else:
                outcomes = self.carry_out(commands)
        self.tell()
        return outcomes

    def _seen_at_once(self, commands: Sequence[Command]) -> list[Outcome]:
        """Answer questions as of one moment, whatever others commit between them.

        Looking writes down what has run out by now. Where somebody else has just done that, too, it is asked
        again, in the end without such care.
        """
        usual = self.in_use.isolation_level
        for level in (*[IsolationLevel.REPEATABLE_READ] * 5, IsolationLevel.READ_COMMITTED):
            self.in_use.isolation_level = level
            try:
                with self.session.transaction(self.in_use):
                    return self.carry_out(commands)
            except psycopg.errors.SerializationFailure:
                continue
            finally:
                if self.in_use.info.transaction_status is TransactionStatus.IDLE:
                    self.in_use.isolation_level = usual
        raise AssertionError("READ COMMITTED never fails so")

    def _patiently(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out a command that waits for somebody else's transaction."""
        self._begin()
        lock_timeout = in_milliseconds(self.options.lock_timeout)
        with self.session.transaction(self.in_use, {"lock_timeout": lock_timeout}):
            outcomes = self.carry_out(commands)
        self.tell()
        return outcomes

    def _each_alone(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands in one transaction, without those that wait for somebody else's."""
        self._begin()
        outcomes: list[Outcome] = []
        with self.session.transaction(self.in_use, {"lock_timeout": in_milliseconds(ALONE)}):
            for command in commands:
                try:
                    with self.in_use.transaction():
                        outcomes += self.carry_out([command])
                except BLOCKED as error:
                    outcomes.append(Held(str(busy(self.url, error))))
                except _UNBINDABLE as error:
                    outcomes.append(
                        InvalidTask(f"a text or a number in the command is not allowed: {first_line(error)}")
                    )
        self.tell()
        return outcomes

    def _begin(self) -> None:
        self.rung, self.is_dirty, self.handed_out = set(), False, 0

    def ask(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement in the transaction of the call; in it {} stands for the schema."""
        known = self._statements.get(statement)
        if known is None:
            known = statement.replace("{}", self.schema), encoders(statement)
            self._statements[statement] = known
        text, columns = known
        if columns:
            arguments = list(arguments)
            for position, encode in columns:
                if (values := arguments[position]) is not None:
                    arguments[position] = Column(encode(values))
        return self.session.query(self.in_use, text, arguments)


def busy(url: StoreURL, error: Exception) -> StoreBusy:
    """Return what is raised where a command waits for somebody's transaction for too long."""
    return StoreBusy(
        f"another transaction in {url} holds what the command needs, such as a task id, a unique key or a "
        f"group ({first_line(error)}); nothing was stored. Try again when that has ended"
    )
