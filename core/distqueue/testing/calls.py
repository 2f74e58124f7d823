"""What a test sees of the calls that were enqueued, and of those that failed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from distqueue.app.app import App
from distqueue.app.call import decode_call
from distqueue.commands import Put
from distqueue.errors import InvalidTask
from distqueue.task import DEFAULT_OPTIONS, TaskOptions

_SHOWN: Final = 20
"""How many calls a message lists."""
_DEFAULTS: Final = asdict(DEFAULT_OPTIONS)


class Enqueued(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was enqueued.

    ``args`` are the arguments by name, as the handler gets them, with its defaults. ``delay`` is in seconds.
    What else was said of the task is in ``options``: ``call.options.priority``.
    """

    task: str
    args: dict[str, Any]
    queue: str
    task_id: str
    delay: float | None = None
    due: datetime | None = None
    options: TaskOptions = DEFAULT_OPTIONS

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.args.items())
        said = {name: getattr(self, name) for name in ("delay", "due") if getattr(self, name) is not None}
        said |= {name: value for name, value in asdict(self.options).items() if value != _DEFAULTS[name]}
        shown = ", ".join(f"{name}={value!r}" for name, value in said.items())
        return f"{self.task}({given}) in queue {self.queue}{shown and f' with {shown}'}"


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """A handler that failed: what it raised (``RetryTask`` and ``RejectTask`` too), and in which attempt."""

    task: str
    task_id: str
    attempt: int
    error: BaseException


def call_of(app: App, put: Put) -> Enqueued | None:
    """Return what was enqueued; ``None`` if the task is not one of a handler."""
    try:
        call = decode_call(put.data)
        bound = app.tasks[call.task].arguments.decode(call.args)
    except (InvalidTask, KeyError):
        return None
    bound.apply_defaults()
    return Enqueued(
        task=call.task,
        args=bound.arguments,
        queue=put.queue,
        task_id=put.task_id,
        delay=put.delay,
        due=None if put.due is None else datetime.fromtimestamp(put.due, UTC),
        options=put.options,
    )


def listed(calls: Iterable[Enqueued]) -> str:
    """Return calls for a message, one a line."""
    lines = [f"  {call}" for call in calls]
    rest = len(lines) - _SHOWN
    return "\n".join([*lines[:_SHOWN], *([f"  and {rest} more"] if rest > 0 else [])])


def option(put: Put, name: str) -> object:
    """Return what was said of a task, by the name of the option."""
    return getattr(put.options if name in _DEFAULTS else put, name)
