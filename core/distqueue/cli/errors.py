"""How a command ends: its exit codes, and what it says when something went wrong."""

from __future__ import annotations

import os
import sys
import traceback
from enum import IntEnum
from typing import Final

from distqueue.errors import DistqueueError, OutcomeUnknown, Refused, StoreBusy, TaskNotFound


class ExitCode(IntEnum):
    """What a command's exit code says."""

    OK = 0
    """Done."""
    ERROR = 1
    """The store, the configuration or a file cannot be used."""
    USAGE = 2
    """The command line is wrong."""
    NOTHING = 3
    """There is no such task, or nothing to get."""
    REFUSED = 4
    """At least one command was refused; nothing was stored or changed by it."""
    UNKNOWN = 5
    """The outcome is unknown: put again with the same id."""
    BUSY = 6
    """The store stayed locked by others; nothing was done. Try again."""
    STOPPED = 7
    """A worker had to stop handlers that ran; their tasks were given back."""


EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 the store, the configuration or a file cannot be used; 2 the command line is "
    "wrong; 3 no such task, or nothing to get; 4 refused, nothing was stored; 5 the outcome is unknown, "
    "put again with the same id; 6 the store was busy, try again; 7 handlers were stopped and their tasks "
    "given back; 130 and 143 interrupted."
)
"""The end of the help."""

_CODES: Final[tuple[tuple[type[DistqueueError], ExitCode], ...]] = (
    (TaskNotFound, ExitCode.NOTHING),
    (Refused, ExitCode.REFUSED),
    (OutcomeUnknown, ExitCode.UNKNOWN),
    (StoreBusy, ExitCode.BUSY),
    (DistqueueError, ExitCode.ERROR),
)


def exit_code_of(error: Exception) -> ExitCode:
    """Return the exit code that stands for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.ERROR)


def report(error: Exception) -> ExitCode:
    """Say on standard error what went wrong, and return the exit code.

    One line; with ``DISTQUEUE_DEBUG=1`` the traceback before it.
    """
    if os.environ.get("DISTQUEUE_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    complain(str(error) or type(error).__name__)
    return exit_code_of(error)


def complain(text: str) -> None:
    """Print one line on standard error, marked as ours."""
    note(f"distqueue: {text}")


def note(text: str) -> None:
    """Print one line on standard error, next to the output."""
    from distqueue.cli.output import clean

    sys.stderr.write(clean(" ".join(text.split("\n"))) + "\n")  # in one piece, beside other processes
    sys.stderr.flush()
