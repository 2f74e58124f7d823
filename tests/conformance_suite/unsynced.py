"""What is done to a child process, before it opens its store, so that it answers too early."""

from __future__ import annotations

import os

from distqueue_backends import filesystem
from distqueue_backends.json import backend
from distqueue_backends.sharded import creating


def no_sync_of_data() -> None:
    """Files that hold tasks are written, and not synced."""
    vars(os)["fdatasync"] = lambda _: None


def no_sync_of_names() -> None:
    """New files are synced, and the directory that they are in is not."""
    for module in (filesystem, backend, creating):
        vars(module)["sync_directory"] = lambda _: None


def no_sync_of_replacements() -> None:
    """What takes the place of a file is not synced before."""
    vars(os)["fsync"] = lambda _: None
