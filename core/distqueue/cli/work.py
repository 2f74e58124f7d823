"""``work``: run the handlers of an app, until told to stop."""

from __future__ import annotations

import os
import signal
import sys
from logging import getLogger
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from distqueue.cli.errors import ExitCode, note
from distqueue.cli.metrics import Address, MetricsAddress, metrics_of
from distqueue.cli.output import counted
from distqueue.cli.tty import can_draw
from distqueue.times import seconds
from distqueue.worker.plan import LogFormat, LogLevel, Logs, Plan

if TYPE_CHECKING:
    from distqueue.worker.tally import Tally
    from distqueue.worker.worker import Worker

_MEBIBYTE = 1024 * 1024


def work(
    app: Annotated[
        str, typer.Argument(metavar="MODULE:APP", help="The app, such as shop.tasks:app.", show_default=False)
    ],
    url: Annotated[
        str | None, typer.Option("--url", "-u", metavar="URL", help="The store.  [default: the app's]")
    ] = None,
    queues: Annotated[
        list[str] | None,
        typer.Option(
            "--queue", "-q", metavar="NAME", help="A queue; may be repeated.  [default: those of the app]"
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, metavar="N", help="Run so many handlers at a time.")
    ] = 8,
    processes: Annotated[
        int, typer.Option("--processes", min=1, metavar="N", help="Spread them over so many processes.")
    ] = 1,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="After SIGTERM, let them go on for so long.")
    ] = 30.0,
    burst: Annotated[
        bool, typer.Option("--burst", help="End when nothing is left that could be claimed now.")
    ] = False,
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
    plain: Annotated[bool, typer.Option("--plain", help="Log, without a screen, on a terminal too.")] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(help="Log without a screen, as text or as JSON, one object a line.  [default: text]"),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            case_sensitive=False, help="Log nothing below that.  [default: info; warning with a screen]"
        ),
    ] = None,
) -> None:
    """Run the handlers of an app.

    SIGTERM or Ctrl-C stops: nothing more is claimed, handlers may go on for --grace, and what is not done
    then is given back without using up an attempt. A second signal stops at once. The store is created if
    there is none.
    """
    logs = Logs(format=log_format or LogFormat.TEXT, level=log_level or LogLevel.INFO)
    plan = Plan(
        app=app,
        url=url,
        queues=tuple(queues or ()),
        concurrency=concurrency,
        processes=min(processes, concurrency),
        grace=seconds("--grace", grace),
        burst=burst,
        max_tasks=max_tasks,
        max_memory=None if max_memory is None else max_memory * _MEBIBYTE,
        reload=reload,
        logs=logs,
    )
    if plain or log_format is not None or os.environ.get("NO_COLOR") or not can_draw(sys.stderr):
        worker = _log(plan, logs, metrics)
    else:
        worker = _show(plan, replace(logs, level=log_level or LogLevel.WARNING), metrics)
    if worker.gave_back:
        stopped = counted(worker.gave_back, "handler")
        getLogger("distqueue.worker").error("%s had to be stopped; what they ran is given back", stopped)
        raise typer.Exit(ExitCode.STOPPED)


def _log(plan: Plan, logs: Logs, metrics: Address | None) -> Worker:
    """Work, and log it."""
    from distqueue.worker.logs import set_up_logs  # not needed by whoever asks for help
    from distqueue.worker.worker import Worker

    set_up_logs(logs)
    worker = Worker(plan)
    _run(worker, metrics)
    return worker


def _show(plan: Plan, logs: Logs, metrics: Address | None) -> Worker:
    """Work, and show it on the terminal; what is logged stands above the screen."""
    from rich.console import Console

    from distqueue.cli.screen.work import WorkScreen
    from distqueue.worker.logs import set_up_logs
    from distqueue.worker.worker import Worker

    with WorkScreen(Console(stderr=True), takes_stdout=sys.stdout.isatty()) as screen:
        set_up_logs(logs, screen.above)
        worker = Worker(plan, screen.output)
        screen.watch(worker)
        _run(worker, metrics)
    note(_summary(worker.tally))
    return worker


def _run(worker: Worker, metrics: Address | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    with metrics_of(worker, metrics):
        worker.run()


def _summary(tally: Tally) -> str:
    counts = {"failed": tally.failed, "dead": tally.dead, "given back": tally.released}
    others = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join([f"{tally.done:,} done", *others])
