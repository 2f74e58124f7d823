"""Every error of distqueue, under one root, grouped by the occasion on which it can occur.

    DistqueueError
    ├── ConfigError          before anything is opened
    ├── StoreError           opening a store, or the store as a whole
    ├── Refused              one command was refused: certainly nothing was stored or changed
    ├── OutcomeUnknown       the command may or may not have been carried out
    └── HandlerVerdict       raised by a handler, to say what becomes of its task

Each message says what to do. An error that travels between processes is rebuilt from its class
name and its message, so every class here can be made from one string.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distqueue.results import Outcome
    from distqueue.times import Duration


class DistqueueError(Exception):
    """The root of all errors that distqueue raises on purpose."""


# --- Before anything is opened: URLs, options, configuration, plugins --------------------------


class ConfigError(DistqueueError):
    """A URL, an option or a configuration file is wrong; the message names it and the remedy."""


class UnknownBackend(ConfigError):
    """No installed plugin serves the URL's scheme."""


class PluginError(ConfigError):
    """The plugin that serves the URL's scheme is broken, incompatible or in conflict."""


# --- Opening a store, or the store as a whole ---------------------------------------------------


class StoreError(DistqueueError):
    """The store cannot be used; nothing of the call was stored, unless a subclass says otherwise."""


class StoreMissing(StoreError):
    """There is no store at the URL, and the call does not create one."""


class StoreBusy(StoreError):
    """Another process kept the store locked for longer than ``lock_timeout``; nothing was stored."""


class StoreServed(StoreBusy):
    """A broker process keeps the store for itself; ``address`` is the Unix socket at which it serves it.

    ``outcomes``, if there are any, are by position those of the commands that had been carried out
    before, and ``None`` for the others, of which nothing was stored.
    """

    def __init__(self, message: str, address: str = "", outcomes: Sequence[Outcome | None] = ()) -> None:
        super().__init__(message)
        self.address = address
        self.outcomes = list(outcomes)


class BrokerGone(StoreError):
    """The broker process cannot be reached; nothing of the call was stored."""


class StoreDamaged(StoreError):
    """The store holds bytes that are not what was written; ``distqueue fsck`` says where."""


class UnsupportedFormat(StoreError):
    """The store was written by a newer distqueue, or is not a distqueue store at all."""


class StoreFailed(StoreError):
    """The store reported an error that makes its state uncertain; open it again to recover."""


class MoveFailed(StoreError):
    """What was moved is not the same at both ends; both stay fenced, and the source has everything."""


class Closed(StoreError):
    """The queue or the broker has been closed."""


class CarriedAcrossFork(StoreError):
    """A delivery or an open transaction was carried into a forked process; claim it there instead."""


# --- One command was refused: certainly nothing was stored or changed ---------------------------


class Refused(DistqueueError):
    """The store refused a command; nothing was stored or changed by it."""


class InvalidTask(Refused, ValueError):
    """A name, an option or a payload is not allowed."""


class TooLarge(Refused):
    """A payload, a batch or an option is over a limit; nothing was stored."""


class Unsupported(Refused):
    """The backend does not have the capability that the command needs."""


class PayloadMismatch(Refused):
    """The task id is known, with another payload: not the same task published twice."""


class UniqueTaken(Refused):
    """A live task already holds the unique key; ``task_id`` names it where it is known."""

    def __init__(self, message: str, task_id: str | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id


class GroupPriorityMismatch(Refused):
    """The group already has tasks of another priority; a group has one priority."""


class StoreFull(Refused):
    """The disk or the engine has no room; nothing was stored. Works again once there is room."""


class ShardUnavailable(Refused):
    """The part of the store that the command goes to is damaged or busy; the other parts go on."""


class Held(Refused):
    """An open transaction of somebody else's holds what the command needs; try again once that has ended."""


class BatchRefused(Refused):
    """Some tasks of a ``put_many`` or ``ack_many`` were refused, the others are stored or acked.

    ``outcomes`` holds, by position, ``Stored`` or ``Settled``, or the refusal, of each task.
    """

    def __init__(self, message: str, outcomes: Sequence[Outcome] = ()) -> None:
        super().__init__(message)
        self.outcomes = list(outcomes)


class Moved(Refused):
    """The queue is moving or has moved to another store, or is arriving here; the message says where."""


class TaskNotFound(Refused):
    """No task with this id is in the queue."""


class SettleRefused(Refused):
    """A delivery could not be settled; the task is as it was."""


class AlreadySettled(SettleRefused):
    """The delivery was settled before, with another verb."""


class LeaseLost(SettleRefused):
    """The receipt is stale: the lease ran out or the task was delivered again."""


class TaskGone(SettleRefused):
    """The task was cancelled or purged while it was out."""


# --- The outcome is unknown -----------------------------------------------------------------------


class OutcomeUnknown(DistqueueError):
    """The command may or may not have been carried out: publish again with the same task id."""


class AckTimeout(OutcomeUnknown, TimeoutError):
    """No acknowledgement arrived in time: publish again with the same task id."""


# --- Raised by handlers -----------------------------------------------------------------------------


class HandlerVerdict(DistqueueError):
    """What a handler raises to decide itself what becomes of its task."""


class RetryTask(HandlerVerdict):
    """Try the task again after ``delay`` (seconds or ``timedelta``; ``None``: as its retry policy says).

    It uses up an attempt, as any failure does.

    >>> raise RetryTask("the service is down for maintenance", delay=600)      # doctest: +SKIP
    """

    def __init__(self, message: str = "", delay: Duration | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class RejectTask(HandlerVerdict):
    """The task can never succeed: it is dead at once, whatever attempts are left.

    >>> raise RejectTask("there is no such customer")                          # doctest: +SKIP
    """
