"""The verbs that settle deliveries: commands to arrays, and answers to outcomes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from distqueue.commands import Ack, Extend, Put, Reject, Release, Retry, Settle
from distqueue.errors import AlreadySettled, LeaseLost, PayloadMismatch
from distqueue.ids import parse_receipt
from distqueue.limits import (
    MAX_FAILURE_ERROR,
    MAX_TRACEBACK,
    check_command,
    check_queue_name,
    cut_error,
)
from distqueue.results import Outcome, Settled, Stored
from distqueue.task import TaskState
from distqueue_backends.postgresql import refusals
from distqueue_backends.postgresql.session import Execute

ACK: Final = "SELECT * FROM {}.ack(%s, %s::float8, %b::text[], %b::text[], %b::int8[])"
EXTEND: Final = "SELECT * FROM {}.extend(%s, %s::float8, %b::text[], %b::text[], %b::int8[], %b::float8[])"
GIVE_BACK: Final = (
    "SELECT * FROM {}.give_back(%s, %s, %s::float8, %b::text[], %b::text[], %b::int8[], %b::float8[], "
    "%b::float8[], %b::float8[], %b::float8[], %b::float8[], %b::bytea[], %b::bytea[], %b::bytea[])"
)
_MOST_DELIVERIES: Final = 2**63
_VERBS: Final[dict[type[Settle], str]] = {Retry: "retry", Release: "release", Reject: "reject"}


def checked(command: Settle) -> Settle:
    """Return a settlement whose queue and arguments are allowed."""
    check_queue_name(command.queue)
    check_command(command)
    return command


def without_repeats[S: Settle](commands: Sequence[S]) -> Iterator[list[S]]:
    """Divide commands so that no receipt is twice in a part: the second time it is answered otherwise."""
    part: list[S] = []
    receipts: set[str] = set()
    for command in commands:
        if command.receipt in receipts:
            yield part
            part, receipts = [], set()
        part.append(command)
        receipts.add(command.receipt)
    if part:
        yield part


class Done(NamedTuple):
    """What became of settlements: the outcomes by position, and which repeat what was done before.

    ``has_freed`` tells whether there may be more to claim now.
    """

    outcomes: list[Outcome]
    repeated: set[int]
    has_freed: bool


class Settling:
    """Settlements of one queue, each of another delivery: what the database is asked, and what it answers.

    ``asked`` is a statement and its arguments, ``None`` if no receipt is one.
    """

    def __init__(self, queue: str, commands: Sequence[Settle], window: float) -> None:
        self._queue = queue
        self._outcomes: list[Outcome] = []
        self._good: list[tuple[int, tuple[str, int, str]]] = []
        for position, command in enumerate(commands):
            try:
                receipt = _receipt(command)
            except LeaseLost as refusal:
                self._outcomes.append(refusal.with_traceback(None))
                continue
            self._good.append((position, receipt))
            self._outcomes.append(Settled(task_id=receipt[0], state=TaskState.DONE))
        self.asked: tuple[str, list[Any]] | None = None
        if self._good:
            ids, numbers, tokens = zip(*[receipt for _, receipt in self._good])
            chosen = [commands[position] for position, _ in self._good]
            self.asked = _asked(queue, chosen, window, [list(ids), list(tokens), list(numbers)])

    def answered(self, rows: Sequence[Any]) -> Done:
        """Return what became of them; ``rows`` tell of those that are not simply done."""
        outcomes = self._outcomes
        repeated: set[int] = set()
        has_freed = False
        for at, code, state, until, detail in rows:
            if code == "fence":
                for position, _ in self._good:
                    outcomes[position] = refusals.fenced(self._queue, state, detail)
            elif code == "freed":
                has_freed = True
            else:
                position, receipt = self._good[at - 1]
                if code == "again":
                    repeated.add(position)
                outcomes[position] = refusals.settled(receipt[0], code, state, until, detail)
        return Done(outcomes, repeated, has_freed)


def settle(execute: Execute, queue: str, commands: Sequence[Settle], window: float) -> Done:
    """Settle deliveries of a queue, each of them once."""
    settling = Settling(queue, commands, window)
    return settling.answered([] if settling.asked is None else execute(*settling.asked))


def _receipt(command: Settle) -> tuple[str, int, str]:
    """Return the parts of a receipt.

    Raises:
        LeaseLost: it is none, so that no delivery can have it.
    """
    receipt = parse_receipt(command.receipt)
    if not 0 <= receipt[1] < _MOST_DELIVERIES or "\0" in command.receipt or not command.receipt.isascii():
        raise LeaseLost(f"{command.receipt!r:.80} is not a receipt; use the one that the delivery came with")
    return receipt


def check_known(task_id: str, then: Sequence[Put], stored: Sequence[Outcome]) -> None:
    """Refuse an ack that is repeated with other follow-up tasks than the first time.

    Raises:
        AlreadySettled: one of them was not known.
        PayloadMismatch: one of them is another task.
    """
    for put, outcome in zip(then, stored):
        if isinstance(outcome, PayloadMismatch):
            raise outcome
        if not (isinstance(outcome, Stored) and outcome.duplicate):
            raise AlreadySettled(
                f"task {task_id} was acked before, without the follow-up task {put.task_id}; put that"
            )


def _asked(
    queue: str, commands: Sequence[Settle], window: float, receipts: list[Any]
) -> tuple[str, list[Any]]:
    if isinstance(commands[0], Ack):
        return ACK, [queue, window, *receipts]
    if isinstance(commands[0], Extend):
        leases = [float(command.lease) for command in commands if isinstance(command, Extend)]
        return EXTEND, [queue, window, *receipts, leases]
    return GIVE_BACK, [queue, _VERBS[type(commands[0])], window, *receipts, *_given_back(commands)]


def _given_back(commands: Sequence[Settle]) -> list[Any]:
    """Return the columns of what is given back: delay, backoff, and the texts of a failure."""
    rows = [_row(command) for command in commands]
    return [list(column) for column in zip(*rows)]


def _row(command: Settle) -> tuple[Any, ...]:
    if isinstance(command, Release):
        return float(command.delay), 0.0, 0.0, 0.0, 0.0, None, None, None
    assert isinstance(command, Retry | Reject)  # noqa: S101 - for the type checker
    texts = _texts(command.error, command.traceback)
    if isinstance(command, Reject):
        return 0.0, 0.0, 0.0, 0.0, 0.0, *texts
    backoff = command.backoff
    share = 1 - backoff.jitter * random.random()  # noqa: S311 - only so that tasks do not return together
    delay = None if command.delay is None else float(command.delay)
    parts = (float(backoff.first), float(backoff.factor), float(backoff.cap), float(share))
    return delay, *parts, *texts


def _texts(error: str | None, traceback: str | None) -> tuple[bytes | None, ...]:
    """Return the error of the task, that of the failed attempt, and its traceback."""
    texts = (cut_error(error), cut_error(error, MAX_FAILURE_ERROR), cut_error(traceback, MAX_TRACEBACK))
    return tuple([None if text is None else text.encode() for text in texts])
