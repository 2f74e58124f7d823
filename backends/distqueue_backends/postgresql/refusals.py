"""What the functions in the database answer, as refusals."""

from __future__ import annotations

from distqueue.commands import Put
from distqueue.errors import (
    AlreadySettled,
    GroupPriorityMismatch,
    LeaseLost,
    PayloadMismatch,
    Refused,
    TaskGone,
)
from distqueue.fences import FenceLevel, Fencing, refusal
from distqueue.results import Outcome, Settled, Stored
from distqueue.task import TaskState
from distqueue_backends.table.steps import unique_taken


def fenced(queue: str, level: str, note: str) -> Refused:
    """Return the refusal of a command that a fence does not let through."""
    return refusal(queue, Fencing(FenceLevel(level), note))


def not_stored(put: Put, code: str, detail: str, more: str) -> Outcome:
    """Return the outcome of a put that has stored nothing."""
    match code:
        case "duplicate":
            return Stored(task_id=put.task_id, duplicate=True)
        case "mismatch":
            return PayloadMismatch(
                f"task {put.task_id} was published before with another payload; give the new one another id"
            )
        case "unique":
            return unique_taken(detail, more)
        case "group":
            return other_priority(detail, more)
    raise AssertionError(code)


def other_priority(group: str, priority: str) -> GroupPriorityMismatch:
    """Return the refusal of a task whose group has another priority."""
    return GroupPriorityMismatch(
        f"group {group!r} has tasks of priority {priority}; a group has one priority"
    )


def settled(task_id: str, code: str, state: str | None, until: float | None, detail: str | None) -> Outcome:
    """Return the outcome of a settlement."""
    match code:
        case "ok" | "again":
            return Settled(task_id=task_id, state=TaskState(state or TaskState.DONE), until=until)
        case "unknown":
            return LeaseLost(f"task {task_id} is not known (any more); its receipt is stale")
        case "gone":
            return TaskGone(f"task {task_id} was removed ({detail}); what was done for it is not needed")
        case "another":
            return LeaseLost(f"the receipt of task {task_id} is stale: the task went by another delivery")
        case "settled":
            return AlreadySettled(f"this delivery of task {task_id} was settled before, by {detail}")
        case "stale":
            return LeaseLost(
                f"the receipt of task {task_id} is stale: it was delivered again or its lease ran out"
            )
    raise AssertionError(code)
