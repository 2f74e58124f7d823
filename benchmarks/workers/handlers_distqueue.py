"""What ``distqueue work`` runs."""

from __future__ import annotations

from benchmarks.workers.records import write_down
from distqueue import App
from distqueue.app import TaskFunction


def note(number: int) -> None:
    """Do nothing but write it down."""
    write_down(number)


def make(url: str | None = None) -> tuple[App, TaskFunction[[int], None]]:
    """Return an app, and the handler in it."""
    made = App(url)
    return made, made.task(name="note")(note)


app, _ = make()
