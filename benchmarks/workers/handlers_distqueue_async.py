"""What ``distqueue work`` runs where handlers are coroutines."""

from __future__ import annotations

from benchmarks.workers.records import write_down
from distqueue import App

app = App()


@app.task(name="note")
async def note(number: int) -> None:
    """Do nothing but write it down."""
    write_down(number)
