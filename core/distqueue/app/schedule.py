"""What ``@app.schedule`` says: when a task function is enqueued, and with which arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from distqueue.app.function import TaskFunction
from distqueue.errors import ConfigError, InvalidTask
from distqueue.limits import check_queue_name
from distqueue.schedules.schedule import Definition, Missed, Schedule, pause_queue
from distqueue.times import Duration, seconds

_NOT_FOR_TICKS = ("connection", "due", "task_id")


class AppSchedule:
    """A schedule of an app; which store it goes to, and its defaults, are asked for when a worker starts.

    Raises:
        ConfigError: what is said of it cannot be.
        InvalidTask: the arguments are not what the task function takes.
    """

    def __init__(
        self,
        name: str,
        task: TaskFunction[..., Any],
        spec: str | None,
        every: Duration | None,
        timezone: str | ZoneInfo,
        missed: str,
        grace: Duration,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self.name = _checked_name(name)
        self.task = task
        self._args = args
        self._kwargs = dict(kwargs)
        self._schedule = self._made(spec, every, timezone, missed, grace)
        self._check_task()

    def __repr__(self) -> str:
        return f"<AppSchedule {self.name!r}: {self._schedule.spec}>"

    def definition(self, app: str) -> Definition:
        """Return what the store keeps of it; ``app`` is the app's name there."""
        put = self.task.task(*self._args, **self._kwargs)
        return Definition.of(
            msgspec.structs.replace(
                self._schedule,
                app=app,
                queue=put.queue,
                data=msgspec.Raw(bytes(put.data)),
                options=put.options,
                delay=put.delay,
            )
        )

    def _made(
        self,
        spec: str | None,
        every: Duration | None,
        timezone: str | ZoneInfo,
        missed: str,
        grace: Duration,
    ) -> Schedule:
        if (spec is None) == (every is None):
            raise ConfigError(f"{self.name}: give a cron expression, or every=…")
        if missed not in list(Missed):
            raise ConfigError(f"{self.name}: missed is {missed!r:.80}; use 'skip', 'one' or 'all'")
        late = seconds("grace", grace)
        if late < 0:
            raise ConfigError(f"{self.name}: grace is {late:g} s; use 0 or more")
        schedule = Schedule(
            name=self.name,
            cron=None if spec is None else " ".join(spec.split()),
            every=None if every is None else float(seconds("every", every)),
            timezone=timezone.key if isinstance(timezone, ZoneInfo) else timezone,
            missed=Missed(missed),
            grace=float(late),
            task=self.task.name,
            queue=self.task.queue,
            data=msgspec.Raw(b"null"),
        )
        if schedule.ticks().after(0.0) is None:
            raise ConfigError(f"{self.name}: {schedule.spec!r} never comes")
        return schedule

    def _check_task(self) -> None:
        self.task.arguments.encode(self._args, self._kwargs)
        for option in _NOT_FOR_TICKS:
            if self.task.has_option(option):
                raise ConfigError(
                    f"{self.name}: the task function has the option {option!r}, which is not for many tasks"
                )


def _checked_name(name: str) -> str:
    try:
        check_queue_name(pause_queue(name))
    except InvalidTask:
        longest = 64 - len(pause_queue(""))
        raise ConfigError(
            f"{name!r:.80} is no name for a schedule: use up to {longest} characters out of a-z, 0-9, '.', "
            "'_' and '-', without '..': @app.schedule(…, name=…)"
        ) from None
    return name
