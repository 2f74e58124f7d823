"""What ``huey_consumer`` runs; a task is removed when it is taken."""

from __future__ import annotations

import os

from huey import SqliteHuey
from huey.api import TaskWrapper

from benchmarks.workers.records import URL, write_down


def note(number: int) -> None:
    """Do nothing but write it down."""
    write_down(number)


def make(path: str) -> tuple[SqliteHuey, TaskWrapper]:
    """Return a huey whose every commit is synced, and the handler in it."""
    made = SqliteHuey(filename=path, fsync=True)
    return made, made.task(name="note")(note)


def __getattr__(name: str) -> SqliteHuey:
    """Return what the consumer is to use, which asks for an attribute of this module."""
    if name != "consumed":
        raise AttributeError(name)
    return make(os.environ[URL])[0]
