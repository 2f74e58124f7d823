"""Settling in the model: with the receipt of the delivery that is out, and with every other."""

from __future__ import annotations

from collections.abc import Callable

from distqueue.commands import Ack, Extend, Reject, Release, Retry, Settle
from distqueue.conformance.model.answers import Possible
from distqueue.conformance.model.queue import ModelQueue
from distqueue.conformance.model.tasks import ModelGone, ModelTask
from distqueue.errors import AlreadySettled, LeaseLost, TaskGone
from distqueue.results import Settled
from distqueue.task import TaskState

STALE = [Possible(LeaseLost)]


def verb_of(command: Settle) -> str:
    """The name of the verb."""
    return type(command).__name__.lower()


def settle(queue: ModelQueue, command: Settle, now: float) -> list[Possible]:
    """What settling may be answered with."""
    for task in queue.tasks:
        if task.holds(command.receipt, now):
            return [carried_out(queue, task, command, now)]
        if command.receipt in task.receipts:
            return settled_before(queue, task, command, now)
    for gone in queue.gone:
        if command.receipt in gone.receipts:
            return settled_gone(gone, command, now)
    return STALE


def settled_before(queue: ModelQueue, task: ModelTask, command: Settle, now: float) -> list[Possible]:
    """A receipt whose delivery is not out any more, of a task that is there.

    That which settled the task last is remembered, but may also count as superseded by a newer delivery; and
    what is known of a done task may be forgotten before anyone noticed that its time is over.
    """
    if task.settled is None or task.settled[0] != command.receipt:
        return STALE
    is_forgotten = task.state is TaskState.DONE and task.is_over(now - queue.window)
    is_superseded = task.receipts[-1] != command.receipt
    return [again(task, command), *(STALE if is_superseded or is_forgotten else [])]


def settled_gone(gone: ModelGone, command: Settle, now: float) -> list[Possible]:
    """A receipt of a task that is gone."""
    if now >= gone.perhaps:
        return STALE
    forgotten = STALE if now >= gone.surely else []
    is_last = gone.settled is not None and gone.settled[0] == command.receipt
    if gone.ended_by == "ack":
        return [*([again(gone, command)] if is_last else STALE), *forgotten]
    if command.receipt == gone.out:
        return [Possible(TaskGone), *forgotten]
    # The task was given back before it was removed: both are true.
    return [Possible(TaskGone), *STALE, *([again(gone, command)] if is_last else [])]


def again(task: ModelTask | ModelGone, command: Settle) -> Possible:
    """The answer to a receipt that settled its delivery."""
    if task.settled is not None and task.settled[1] == verb_of(command):
        return Possible(Settled, {"task_id": task.task_id})
    return Possible(AlreadySettled)


def carried_out(queue: ModelQueue, task: ModelTask, command: Settle, now: float) -> Possible:
    """Settle the delivery that is out: where it leads, and the change that does it."""
    state, until, change = _step(queue, task, command, now)

    def effect(outcome: object) -> None:
        if not isinstance(command, Extend):
            task.settled = command.receipt, verb_of(command)
        change()

    return Possible(Settled, {"task_id": task.task_id, "state": state, "until": until}, effect)


type _Step = tuple[TaskState, float | None, Callable[[], object]]


def _step(queue: ModelQueue, task: ModelTask, command: Settle, now: float) -> _Step:
    match command:
        case Ack():
            return _ack(queue, task, now)
        case Retry():
            return _retry(queue, task, command, now)
        case Release():
            return _release(queue, task, command, now)
        case Reject():
            return TaskState.DEAD, None, lambda: _bury(queue, task, command, now)
        case Extend():
            until = now + command.lease
            return TaskState.LEASED, until, lambda: setattr(task, "until", until)
    raise NotImplementedError(command)


def _ack(queue: ModelQueue, task: ModelTask, now: float) -> _Step:
    if not task.options.keep_done:
        return TaskState.DONE, None, lambda: queue.end(task, "ack", now)
    until = now + task.options.keep_done

    def keep() -> None:
        task.state, task.until, task.place = TaskState.DONE, until, None

    return TaskState.DONE, until, keep


def _retry(queue: ModelQueue, task: ModelTask, command: Retry, now: float) -> _Step:
    most = task.options.max_attempts
    if most is not None and task.attempt >= most:
        return TaskState.DEAD, None, lambda: _bury(queue, task, command, now)
    delay = command.backoff.delay(task.attempt) if command.delay is None else command.delay

    def schedule() -> None:
        task.fail("retry", now, command.error, command.traceback)
        task.attempt, task.error = task.attempt + 1, command.error
        if delay:
            task.state, task.until, task.place = TaskState.SCHEDULED, now + delay, None
        else:
            queue.make_ready(task, at_the_end=True)

    return (TaskState.SCHEDULED, now + delay, schedule) if delay else (TaskState.READY, None, schedule)


def _release(queue: ModelQueue, task: ModelTask, command: Release, now: float) -> _Step:
    if not command.delay:
        return TaskState.READY, None, lambda: queue.make_ready(task, at_the_end=False)
    due = now + command.delay

    def schedule() -> None:
        task.state, task.until, task.place = TaskState.SCHEDULED, due, None

    return TaskState.SCHEDULED, due, schedule


def _bury(queue: ModelQueue, task: ModelTask, command: Retry | Reject, now: float) -> None:
    task.fail(verb_of(command), now, command.error, command.traceback)
    task.error = command.error
    queue.make_dead(task)
