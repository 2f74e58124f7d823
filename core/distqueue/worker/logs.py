"""The log of a worker and of its children: as text, or as one JSON object a line."""

from __future__ import annotations

import logging
import sys
import time
from typing import Final, TextIO

from distqueue.app.current import current
from distqueue.worker.plan import LogFormat, Logs

_TEXT: Final = "%(asctime)s %(levelname)s %(message)s"
_JSON: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_NAMES: Final = {"asctime": "time", "levelname": "level", "name": "logger"}


def set_up_logs(logs: Logs, stream: TextIO | None = None) -> None:
    """Let everything that is logged in this process be written so, on the standard error or a stream.

    What a handler logs bears the id of its task and its name, also what it logs through libraries.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_json_lines() if logs.format is LogFormat.JSON else _TextLines(_TEXT))
    handler.addFilter(_label)
    logging.basicConfig(level=logs.level.upper(), handlers=[handler])
    logging.captureWarnings(True)


def _label(record: logging.LogRecord) -> bool:
    """Note on a record which task is being carried out, unless it says so itself."""
    if (delivery := current.get()) is not None:
        record._during = f" [{delivery.task} {delivery.task_id}]"
        for name in ("task_id", "task", "queue", "attempt"):
            record.__dict__.setdefault(name, getattr(delivery, name))
    return True


class _TextLines(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is that of logging
        return super().formatMessage(record) + str(getattr(record, "_during", ""))


def _json_lines() -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter  # not needed for text

    made = JsonFormatter(_JSON, rename_fields=_NAMES)
    made.converter = time.gmtime
    made.default_time_format, made.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
    return made
