"""``work``: run the handlers of an app, until told to stop."""

from __future__ import annotations

import signal
from logging import getLogger
from typing import Annotated

import typer

from distqueue.cli.errors import ExitCode
from distqueue.cli.metrics import MetricsAddress, metrics_of
from distqueue.cli.options import SomeQueues, Url
from distqueue.cli.output import counted
from distqueue.worker.plan import LogFormat, LogLevel, Logs, Plan

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
    metrics: MetricsAddress = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="Write the log as text, or as JSON, one object a line.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="Log nothing below that.")
    ] = LogLevel.INFO,
) -> None:
    """Run the handlers of an app.

    SIGTERM or Ctrl-C stops: nothing more is claimed, handlers may go on for --grace, and what is not done
    then is given back without using up an attempt. A second signal stops at once. The store is created if
    there is none.
    """
    from distqueue.worker.logs import set_up_logs  # not needed by whoever asks for help
    from distqueue.worker.worker import Worker

    logs = Logs(format=log_format, level=log_level)
    set_up_logs(logs)
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
        logs=logs,
    )
    worker = Worker(plan)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    with metrics_of(worker, metrics):
        worker.run()
    if worker.gave_back:
        stopped = counted(worker.gave_back, "handler")
        getLogger("distqueue.worker").error("%s had to be stopped; what they ran is given back", stopped)
        raise typer.Exit(ExitCode.STOPPED)
