"""How ``work`` logs: as text, or as JSON for whoever collects logs."""

from __future__ import annotations

import logging
from enum import StrEnum

import msgspec


class LogFormat(StrEnum):
    """What a line of the log is."""

    TEXT = "text"
    JSON = "json"


def formatter(how: LogFormat) -> logging.Formatter:
    """Return what makes a line of a record."""
    if how is LogFormat.JSON:
        return _JsonFormatter()
    return logging.Formatter("%(asctime)s %(levelname)s %(message)s")


def log_to(handler: logging.Handler, how: LogFormat, level: int) -> None:
    """Let everything that is logged from this level on go to a handler, and nowhere else."""
    handler.setFormatter(formatter(how))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class _JsonFormatter(logging.Formatter):
    """Writes ``{"time": …, "level": …, "logger": …, "message": …}``; the time in seconds since the epoch."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        line = {
            "time": record.created,
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        return msgspec.json.encode(line).decode()
