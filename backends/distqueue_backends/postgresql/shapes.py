"""What the commands of a call are together, which decides how many statements they need."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from distqueue import commands as c
from distqueue.commands import Ack, Claim, Command, Put
from distqueue.errors import Refused
from distqueue.limits import check_command, check_queue_name

TOGETHER: Final = (Put, Ack, c.Retry, c.Release, c.Reject, c.Extend)
"""The commands of which many of one queue are one statement."""


class Shape(Enum):
    """How the commands of a call are carried out."""

    READS = auto()
    """They only ask, and are answered as of one moment."""
    STATEMENT = auto()
    """One statement, which needs no transaction around it."""
    ACK_AND_CLAIM = auto()
    """One statement, too: acks in one queue and a claim, which is what a worker asks for in the end."""
    TRANSACTION = auto()
    """Several statements."""


def shape_of(commands: Sequence[Command]) -> Shape:
    """Return what commands are together."""
    if all(isinstance(command, c.READS) for command in commands):
        return Shape.READS
    *others, last = commands
    if type(last) is not Claim:
        return Shape.STATEMENT if _are_alike(commands) else Shape.TRANSACTION
    if not others:
        return Shape.STATEMENT
    is_allowed = type(others[0]) is Ack and _are_alike(others) and _is_allowed(others[0].queue, last)
    return Shape.ACK_AND_CLAIM if is_allowed else Shape.TRANSACTION


def _are_alike(commands: Sequence[Command]) -> bool:
    """Whether commands of one kind are for one queue, and those that settle each for another delivery."""
    kind, queue = type(commands[0]), commands[0].queue
    if kind not in TOGETHER or any(type(each) is not kind or each.queue != queue for each in commands):
        return False
    if kind is Put:
        return True
    if kind is Ack and any(ack.then for ack in commands):  # type: ignore[attr-defined]
        return False
    receipts = [command.receipt for command in commands]  # type: ignore[attr-defined]
    return set(map(type, receipts)) == {str} and len(set(receipts)) == len(receipts)


def _is_allowed(queue: str, claim: Claim) -> bool:
    """Whether nothing of acks in a queue and a claim is refused before the database is asked."""
    try:
        for name in (queue, claim.queue):
            check_queue_name(name)
        check_command(claim)
    except Refused:
        return False
    return not claim.again
