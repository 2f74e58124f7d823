"""Whether a record could have come from a store: what is loaded is held against this first."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from distqueue.capabilities import Capabilities
from distqueue.commands import Put
from distqueue.errors import InvalidTask, LeaseLost
from distqueue.ids import parse_receipt
from distqueue.limits import (
    MAX_ERROR,
    MAX_FAILURE_ERROR,
    MAX_FAILURES,
    MAX_TRACEBACK,
    check_put,
    check_queue_name,
    check_task_id,
)
from distqueue.payload import check as check_payload
from distqueue.task import RememberedTask, TaskRecord, TaskState

_NEEDS: Final = {
    TaskState.SCHEDULED: {"until"},
    TaskState.READY: {"place"},
    TaskState.LEASED: {"until", "place", "receipt"},
    TaskState.DONE: {"until"},
    TaskState.DEAD: set[str](),
}
"""Fields that a task of each state has to have."""
_NOT_FAILED: Final = (TaskState.LEASED, TaskState.DONE)
"""States in which the newest delivery is not one that failed."""
_FAILING: Final = ("retry", "reject", "lapse")
_BOUND: Final = 2**53


def check_task(task: TaskRecord, capabilities: Capabilities) -> TaskRecord:
    """Return the record of a task with its payload checked, if a store can keep it.

    Raises:
        InvalidTask: no store exports such a record.
        TooLarge, Unsupported: the backend cannot keep it.
    """
    payload = check_payload(bytes(task.data))
    check_put(_as_put(task, payload), capabilities)
    _check_counts(task)
    _check_state(task)
    _check_failures(task)
    _check_receipt(task.task_id, task.receipt)
    return msgspec.structs.replace(task, data=msgspec.Raw(payload))


def check_remembered(task: RememberedTask) -> RememberedTask:
    """Return the record of a remembered id, if a store can keep it.

    Raises:
        InvalidTask: no store exports such a record.
    """
    check_queue_name(task.queue)
    check_task_id(task.task_id)
    _check_time("at", task.at)
    if not 0 <= task.checksum < 2**32:
        raise InvalidTask(f"checksum is {task.checksum}, which is not a CRC-32")
    _check_receipt(task.task_id, task.receipt)
    return task


def _as_put(task: TaskRecord, payload: bytes) -> Put:
    """Return the command that put the task, as far as it can be told."""
    return Put.make(
        task.queue,
        task.task_id,
        payload,
        priority=task.priority,
        max_attempts=task.max_attempts,
        expires_in=None if task.expires_at is None else task.expires_at - task.put_at,
        keep_done=task.keep_done,
        group=task.group,
        unique=task.unique,
        publisher_id=task.publisher_id,
        headers=task.headers,
    )


def _check_counts(task: TaskRecord) -> None:
    place = 1 if task.place is None else task.place
    for name, value in (("number", task.number), ("place", place), ("attempt", task.attempt)):
        if not 1 <= value < _BOUND:
            raise InvalidTask(f"{name} is {value}; a count from 1 up is expected")
    if not 0 <= task.deliveries < _BOUND:
        raise InvalidTask(f"deliveries is {task.deliveries}; a count from 0 up is expected")
    _check_time("put_at", task.put_at)


def _check_state(task: TaskRecord) -> None:
    missing = [name for name in sorted(_NEEDS[task.state]) if getattr(task, name) is None]
    if missing:
        raise InvalidTask(f"a {task.state} task without {', '.join(missing)}")
    if task.until is not None:
        _check_time("until", task.until)
    if task.error is not None and len(task.error) > MAX_ERROR:
        raise InvalidTask(f"error has {len(task.error)} characters; at most {MAX_ERROR}")


def _check_failures(task: TaskRecord) -> None:
    """A failed attempt was handed out, and before what is out now: so a task of one delivery has none."""
    most = min(MAX_FAILURES, task.deliveries - (task.state in _NOT_FAILED))
    if len(task.failures) > most and task.failures:
        raise InvalidTask(f"{len(task.failures)} failed attempts are given; at most {max(most, 0)} can be")
    for failed in task.failures:
        if not 1 <= failed.attempt < _BOUND or failed.verb not in _FAILING:
            raise InvalidTask(f"{failed.verb!r:.80} of attempt {failed.attempt} is no failed attempt")
        _check_time("at", failed.at)
        texts = (("error", failed.error, MAX_FAILURE_ERROR), ("traceback", failed.traceback, MAX_TRACEBACK))
        for name, text, longest in texts:
            if text is not None and len(text) > longest:
                raise InvalidTask(
                    f"the {name} of a failed attempt has {len(text)} characters; at most {longest}"
                )


def _check_time(name: str, at: float) -> None:
    if not (math.isfinite(at) and abs(at) < 1e11):
        raise InvalidTask(f"{name} is {at}; a time in seconds since the epoch is expected")


def _check_receipt(task_id: str, receipt: str | None) -> None:
    try:
        owner = task_id if receipt is None else parse_receipt(receipt)[0]
    except LeaseLost:
        owner = ""
    if owner != task_id:
        raise InvalidTask(f"{receipt!r:.80} is not a receipt of task {task_id}")
