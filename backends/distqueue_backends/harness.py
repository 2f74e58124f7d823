"""What the conformance suite can do to the stores of this package."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from pathlib import Path
from typing import ClassVar, Final

from distqueue.conformance.harness import Harness
from distqueue.urls import parse_url
from distqueue_backends import file_backend
from distqueue_backends.table import clock

_SAFETY_POLL: Final = file_backend.SAFETY_POLL
_NEVER: Final = 3600.0
_NO_ENGINE: Final = "the store is in this very process: there is no engine"


class _Time:
    """Stands in for the module ``time`` where the clocks of a store look."""

    def __init__(self) -> None:
        self.advanced = 0.0
        self.stepped = 0.0

    def time(self) -> float:
        """Return the time of day."""
        return time.time() + self.advanced + self.stepped

    def monotonic(self) -> float:
        """Return the time that nobody sets."""
        return time.monotonic() + self.advanced


class MemoryHarness(Harness):
    """A store in this process."""

    reasons: ClassVar[dict[str, str]] = {
        "connect": "it is no database",
        "cut_connections": _NO_ENGINE,
        "restart_engine": _NO_ENGINE,
        "holds_tasks": "it has no files",
    }

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        self._time = _Time()
        vars(clock)["time"] = self._time

    def advance(self, seconds: float) -> None:
        self._time.advanced += seconds

    def step_clock(self, seconds: float) -> None:
        self._time.stepped += seconds

    def close(self) -> None:
        vars(clock)["time"] = time


class FileHarness(MemoryHarness):
    """A store in a file that is called as the URL says, or in a directory of JSON files.

    Who waits in this process does not look for itself: a wake-up that is missing would only be late then.
    """

    files: ClassVar[str] = r"({store}|[^/]*\.json)(\.tmp-[^/]*)?"
    """How the files are called that hold tasks, as a pattern."""

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        vars(file_backend)["SAFETY_POLL"] = _NEVER

    def close(self) -> None:
        vars(file_backend)["SAFETY_POLL"] = _SAFETY_POLL
        super().close()

    def holds_tasks(self, path: str) -> bool:
        store = re.escape(os.path.basename(self.url.partition("?")[0]))
        files = self.files.format(store=store.replace(re.escape("{name}"), "[a-z0-9]+"))
        return re.fullmatch(files, os.path.basename(path)) is not None


class SqliteHarness(FileHarness):
    """A database with its log."""

    files = "{store}(-wal)?"

    def connect(self, url: str) -> sqlite3.Connection:
        return sqlite3.connect(parse_url(url).file_path(), timeout=5)

    def engine(self) -> str:
        if "driver=pysqlite3" in self.url:
            import pysqlite3  # type: ignore[import-untyped]

            return f"SQLite {pysqlite3.sqlite_version} (pysqlite3)"
        return f"SQLite {sqlite3.sqlite_version}"
