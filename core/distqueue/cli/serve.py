"""``serve``: a broker process in the foreground, until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distqueue.cli.errors import ExitCode, complain, note
from distqueue.cli.options import Url
from distqueue.cli.output import counted

if TYPE_CHECKING:
    from distqueue.broker.service import Service


def serve(
    url: Url = None,
    socket: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where to listen.  [default: beside the store]"),
    ] = None,
) -> None:
    """Serve a store to all its users.

    One process commits what all ask at the same time together. Whoever opens the store's URL goes through
    it from then on, and others by broker:///PATH. Ends at SIGTERM or Ctrl-C: what has arrived is carried
    out and answered before. The store is created if there is none.
    """
    from distqueue.broker.service import Service  # not needed by whoever asks for help
    from distqueue.config import find_settings

    settings = find_settings(url, "default")
    is_new = settings.url.is_file and not os.path.lexists(settings.url.path)
    options: dict[str, Any] = settings.options
    service = Service(settings.url, socket, **options)
    try:
        if is_new:
            note(f"created {os.path.abspath(settings.url.path)}")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: service.server.stop())
        note(f"serving {settings.url} at {service.address.path} (pid {os.getpid()})")
        _run(service)
    finally:
        service.close()
    if service.server.failure is not None:
        complain(f"the store failed: {service.server.failure}")
        raise typer.Exit(ExitCode.ERROR)
    note(f"stopped; {counted(service.server.handled, 'command')} carried out")


def _run(service: Service) -> None:
    """Serve; on a terminal with a line that tells how it goes."""
    server = service.server
    if not sys.stderr.isatty():
        server.run()
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        shown = [time.monotonic(), 0.0]

        def show() -> None:
            now = time.monotonic()
            if now - shown[0] >= 0.5:
                rate = (server.handled - shown[1]) / (now - shown[0])
                status.update(f"{counted(server.clients, 'client')} · {rate:,.0f} commands/s")
                shown[:] = [now, server.handled]

        server.run(show)
