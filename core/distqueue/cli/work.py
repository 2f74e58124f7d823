"""``work``: run the handlers of an app, until told to stop."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Annotated

import typer

from distqueue.cli.errors import ExitCode, complain
from distqueue.cli.options import SomeQueues, Url
from distqueue.cli.output import counted
from distqueue.worker.plan import Plan

_MEBIBYTE = 1024 * 1024


def work(
    app: Annotated[
        str, typer.Argument(metavar="MODULE:APP", help="The app, such as shop.tasks:app.", show_default=False)
    ],
    url: Url = None,
    queues: SomeQueues = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, metavar="N", help="Run so many handlers at a time.")
    ] = 8,
    processes: Annotated[
        int, typer.Option("--processes", min=1, metavar="N", help="Spread them over so many processes.")
    ] = 1,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="After SIGTERM, let them go on for so long.")
    ] = 30.0,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is left to do.")] = False,
    max_tasks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Replace a process after so many tasks.")
    ] = None,
    max_memory: Annotated[
        int | None, typer.Option(metavar="MIB", min=1, help="Replace a process that takes more than that.")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start new processes when Python files here change.")
    ] = False,
) -> None:
    """Run the handlers of an app.

    SIGTERM or Ctrl-C stops: nothing more is claimed, handlers may go on for --grace, and what is not done
    then is given back without using up an attempt. A second signal stops at once. The store is created if
    there is none.
    """
    from distqueue.worker.worker import Worker  # not needed by whoever asks for help

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    plan = Plan(
        app=app,
        url=url,
        queues=tuple(queues or ()),
        concurrency=concurrency,
        processes=min(processes, concurrency),
        grace=grace,
        burst=burst,
        max_tasks=max_tasks,
        max_memory=None if max_memory is None else max_memory * _MEBIBYTE,
        reload=reload,
    )
    worker = Worker(plan)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()
    if worker.gave_back:
        stopped = counted(worker.gave_back, "handler")
        complain(f"{stopped} had to be stopped; what they ran is given back")
        raise typer.Exit(ExitCode.STOPPED)
