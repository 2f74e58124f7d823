"""The options of ``sqlite:`` URLs, and what the backend promises."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from distqueue_backends.json.options import JSON_CAPABILITIES
from distqueue_backends.sqlite.driver import Driver


class SqliteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set in the URL of a SQLite store; durations in seconds.

    ``dedup_window`` and ``dedup_max`` say for how long, and for how many tasks a queue, ids are
    remembered after their task is gone; ``lock_timeout`` how long to wait for other processes;
    ``driver`` is the SQLite library: Python's (``sqlite3``) or the package ``pysqlite3``.
    """

    dedup_window: Annotated[float, Meta(ge=0)] = 300.0
    dedup_max: Annotated[int, Meta(ge=0)] = 100_000
    lock_timeout: Annotated[float, Meta(ge=0)] = 10.0
    driver: Driver = Driver.STANDARD


SQLITE_CAPABILITIES: Final = msgspec.structs.replace(JSON_CAPABILITIES, transactional_enqueue=True)
"""The whole contract, on one machine, as single JSON has it, and puts in the application's transactions."""
