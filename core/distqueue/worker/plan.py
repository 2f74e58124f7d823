"""What a worker is asked to do."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class LogFormat(StrEnum):
    """How a log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker and its children write their logs, on the standard error."""

    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``distqueue work``. Times are in seconds, ``max_memory`` in bytes.

    ``url`` is another store than the app's. ``queues`` are taken from in this order; with none, those of the
    app take turns. ``concurrency`` is how many handlers run at the same time, in ``processes`` children
    together. ``grace`` is how long they may go on
    after the worker was told to stop. ``max_tasks`` and ``max_memory`` are for each child: then another one
    takes its place. With ``burst`` the worker ends when there is nothing left to do, with
    ``reload`` new children take over when Python files below the working directory change. ``logs`` is how
    the children write their logs (``None``: as the app sets them up itself).
    """

    app: str
    url: str | None = None
    queues: tuple[str, ...] = ()
    concurrency: int = 8
    processes: int = 1
    grace: float = 30.0
    burst: bool = False
    max_tasks: int | None = None
    max_memory: int | None = None
    reload: bool = False
    logs: Logs | None = None

    @property
    def slots(self) -> int:
        """How many handlers a child runs at the same time."""
        return -(-self.concurrency // self.processes)
