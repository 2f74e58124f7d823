"""``work``: run the handlers of an app, until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from distqueue.cli.errors import ExitCode, complain, note
from distqueue.cli.logs import LogFormat, log_to
from distqueue.cli.options import SomeQueues, Url
from distqueue.cli.tty import can_draw
from distqueue.worker.plan import Plan

if TYPE_CHECKING:
    from distqueue.worker.tally import Tally
    from distqueue.worker.worker import Worker

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
    plain: Annotated[bool, typer.Option("--plain", help="Log lines, no screen, on a terminal too.")] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option("--log-format", help="Log lines like this, no screen.  [default: text]"),
    ] = None,
) -> None:
    """Run the handlers of an app.

    SIGTERM or Ctrl-C stops: nothing more is claimed, handlers may go on for --grace, and what is not done
    then is given back without using up an attempt. A second signal stops at once. The store is created if
    there is none.
    """
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
    )
    if plain or log_format is not None or os.environ.get("NO_COLOR") or not can_draw(sys.stderr):
        worker = _log(plan, log_format or LogFormat.TEXT)
    else:
        worker = _show(plan)
    note(_summary(worker.tally))
    if worker.gave_back:
        complain(f"{worker.gave_back} handlers were stopped, and their tasks given back")
        raise typer.Exit(ExitCode.STOPPED)


def _log(plan: Plan, how: LogFormat) -> Worker:
    """Work, and log it."""
    from distqueue.worker.worker import Worker  # not needed by whoever asks for help

    log_to(logging.StreamHandler(sys.stderr), how, logging.INFO)
    worker = Worker(plan)
    _run(worker)
    return worker


def _show(plan: Plan) -> Worker:
    """Work, and show it on the terminal; only what went wrong is logged, above the screen."""
    from rich.console import Console

    from distqueue.cli.screen.work import WorkScreen
    from distqueue.worker.worker import Worker

    with WorkScreen(Console(stderr=True), takes_stdout=sys.stdout.isatty()) as screen:
        log_to(screen.log, LogFormat.TEXT, logging.WARNING)
        worker = Worker(plan, screen.output)
        screen.watch(worker)
        _run(worker)
    return worker


def _run(worker: Worker) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()


def _summary(tally: Tally) -> str:
    counts = {"failed": tally.failed, "dead": tally.dead, "given back": tally.released}
    others = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join([f"{tally.done:,} done", *others])
