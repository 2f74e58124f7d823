"""What ``procrastinate worker`` runs."""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector

from benchmarks.workers.records import URL, write_down

app = App(connector=PsycopgConnector(conninfo=os.environ.get(URL, "")))


@app.task(name="note")
async def note(number: int) -> None:
    """Do nothing but write it down."""
    write_down(number)
