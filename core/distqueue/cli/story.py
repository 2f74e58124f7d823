"""The story of a task, as ``show`` tells it: what it is, how it stands, and what has happened to it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from distqueue.cli.output import shown_age, shown_data, shown_time
from distqueue.task import FailedAttempt, TaskRecord, TaskState


class _Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of a call of an app's function, and of nothing else."""

    task: str
    args: dict[str, msgspec.Raw]


_calls = msgspec.json.Decoder(_Call)


def function_of(task: TaskRecord) -> str | None:
    """Return the name of the function that a task calls; ``None`` if no app has enqueued it."""
    call = _call(task)
    return None if call is None else call.task


def call_of(task: TaskRecord) -> str:
    """Return the payload for people: ``send_email(to="a@example.org")`` if it is a call, else as JSON."""
    call = _call(task)
    if call is None:
        return shown_data(task.data)
    return f"{call.task}({', '.join(f'{name}={shown_data(value)}' for name, value in call.args.items())})"


def story(task: TaskRecord, *, is_paused: bool = False) -> Iterator[str]:
    """Tell the story of a task, line by line; ``is_paused`` is about its queue."""
    yield f"Task {task.task_id} of queue {task.queue} {_standing(task, is_paused)}."
    yield ""
    for name, value in _facts(task):
        yield f"{name:<9} {value}"
    if task.failures:
        yield ""
        yield from _history(task)


# --- How it stands --------------------------------------------------------------------------------


def _standing(task: TaskRecord, is_paused: bool) -> str:
    match task.state:
        case TaskState.SCHEDULED:
            again = f"for attempt {_attempt(task)}" if task.attempt > 1 else "for the first time"
            return f"is scheduled: it is due {_when(task.until)}, {again}"
        case TaskState.READY:
            return f"is ready: {_ready(task, is_paused)}"
        case TaskState.LEASED:
            return _leased(task)
        case TaskState.DONE:
            return f"is done; it is kept until {shown_time(task.until)}"
        case TaskState.DEAD:
            return f"is dead: {_death(task)}. `{_redrive(task)}` makes it ready again"


def _ready(task: TaskRecord, is_paused: bool) -> str:
    if is_paused:
        return "nobody gets it until the queue is resumed, as that is paused"
    if task.group is not None:
        return f"it is got when its turn comes, and no other task of group {task.group} is before it"
    return f"it is got when its turn comes, for attempt {_attempt(task)}"


def _leased(task: TaskRecord) -> str:
    ends = task.until or 0.0
    if ends <= time.time():
        return f"was leased until {_when(task.until)}, and nobody has settled it: it is handed out again"
    return f"is leased: somebody has it for attempt {_attempt(task)}, until {_when(task.until)}"


def _death(task: TaskRecord) -> str:
    last = task.failures[-1].verb if task.failures else task.settled
    if last == "reject":
        return f"it was rejected in attempt {_attempt(task)}"
    return f"attempt {_attempt(task)} has failed, and no more are allowed"


def _redrive(task: TaskRecord) -> str:
    queue = "" if task.queue == "default" else f" -q {task.queue}"
    return f"distqueue redrive {task.task_id}{queue}"


def _attempt(task: TaskRecord) -> str:
    return f"{task.attempt} of {'any number' if task.max_attempts is None else task.max_attempts}"


# --- What it is -----------------------------------------------------------------------------------


def _facts(task: TaskRecord) -> Iterator[tuple[str, str]]:
    yield ("payload" if _call(task) is None else "call"), call_of(task)
    publisher = "" if task.publisher_id is None else f" by {task.publisher_id}"
    yield "put", f"{_when(task.put_at)}{publisher}, as number {task.number}"
    yield "attempt", f"{_attempt(task)}, handed out {_times(task.deliveries)}"
    if options := ", ".join(_options(task)):
        yield "options", options
    for name, value in (task.headers or {}).items():
        yield "header", f"{name}={value}"
    if task.place is not None:
        yield "place", str(task.place)
    if task.receipt is not None:
        settled = "not settled yet" if task.settled is None else f"settled by {task.settled}"
        yield "receipt", f"{task.receipt}, {settled}"
    if task.error is not None:
        yield "error", task.error


def _options(task: TaskRecord) -> Iterator[str]:
    if task.priority:
        yield f"priority {task.priority}"
    if task.group is not None:
        yield f"group {task.group}"
    if task.unique is not None:
        yield f"unique {task.unique}"
    if task.expires_at is not None:
        yield f"expires {_when(task.expires_at)}"
    if task.keep_done:
        yield f"kept {task.keep_done:g} s once it is done"


# --- What has happened ----------------------------------------------------------------------------


def _history(task: TaskRecord) -> Iterator[str]:
    yield "Failed attempts:"
    for failed in task.failures:
        yield ""
        yield f"  attempt {failed.attempt}, {_when(failed.at)}: {_how(failed)}"
        for line in (failed.traceback or "").rstrip().splitlines():
            yield f"    {line}"


def _how(failed: FailedAttempt) -> str:
    error = "" if failed.error is None else f", {failed.error}"
    match failed.verb:
        case "lapse":
            return f"its lease ran out{error}"
        case "reject":
            return f"rejected{error}"
        case _:
            return f"failed{error}"


def _when(at: float | None) -> str:
    return "at some time" if at is None else f"{shown_age(at)} ({shown_time(at)})"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _call(task: TaskRecord) -> _Call | None:
    try:
        return _calls.decode(task.data)
    except msgspec.DecodeError:
        return None
