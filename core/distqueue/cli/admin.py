"""``redrive``, ``cancel``, ``purge``, ``pause`` and ``resume``: what an operator does to a queue."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from distqueue.cli.elsewhere import hint_at_new, hint_at_queue, queue_names
from distqueue.cli.errors import ExitCode, complain, report
from distqueue.cli.filters import ErrorText, Since, TaskName, dead_filter
from distqueue.cli.options import QueueName, TaskIds, Url
from distqueue.cli.output import counted, print_line
from distqueue.cli.redriving import redrive_chosen
from distqueue.cli.store import open_store
from distqueue.commands import Cancel, Pause, Purge, Redrive, Resume
from distqueue.errors import Refused, TaskNotFound
from distqueue.outcomes import expect
from distqueue.results import PauseSet, Purged, Redriven, Removed
from distqueue.task import TaskState


def redrive(
    task_id: Annotated[
        str | None,
        typer.Argument(metavar="TASK_ID", help="Only this task.  [default: all dead ones]"),
    ] = None,
    url: Url = None,
    queue: QueueName = "default",
    error: ErrorText = None,
    task: TaskName = None,
    since: Since = None,
) -> None:
    """Make dead tasks ready again.

    They come to the end of the line, with all their attempts.
    """
    chosen = dead_filter(error, task, since)
    if task_id is not None and not chosen.is_store_side:
        raise typer.BadParameter("an id names one task: leave out --task and --since")
    with open_store(url, queue) as store:
        if chosen.is_store_side:
            try:
                redriven = store.ask(Redrive(queue=queue, task_id=task_id, error=error), Redriven)
            except TaskNotFound:
                hint_at_queue(store, task_id or "")
                raise
        else:
            redriven = redrive_chosen(store, queue, chosen)
    print_line(f"redriven: {counted(redriven.count, 'task')}")
    for refused in redriven.refused:
        complain(f"task {refused} stays dead: its unique key is taken, or its group has another priority")
    if redriven.refused:
        raise typer.Exit(ExitCode.REFUSED)


def cancel(task_ids: TaskIds, url: Url = None, queue: QueueName = "default") -> None:
    """Remove tasks, whatever their state.

    A consumer that has one is told so when it settles it.
    """
    with open_store(url, queue) as store:
        outcomes = store.broker.apply([Cancel(queue=queue, task_id=each) for each in task_ids])
        for task_id, outcome in zip(task_ids, outcomes):
            if isinstance(outcome, TaskNotFound):
                hint_at_queue(store, task_id)
    codes = [report(outcome) for outcome in outcomes if isinstance(outcome, Refused)]
    for outcome in outcomes:
        if not isinstance(outcome, Refused):
            removed = expect(outcome, Removed)
            print_line(f"{removed.task_id} is cancelled; it was {removed.state}")
    if codes:
        raise typer.Exit(codes[0])


def purge(
    url: Url = None,
    queue: QueueName = "default",
    state: Annotated[
        list[TaskState] | None,
        typer.Option(help="Only tasks in this state; may be repeated.  [default: all]", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove all tasks of a queue, or those in some states."""
    states = tuple(state or ())
    with open_store(url, queue) as store:
        if not yes:
            _confirm(queue, states)
        purged = store.ask(Purge(queue=queue, states=states), Purged)
    print_line(f"purged: {counted(purged.count, 'task')}")


def pause(url: Url = None, queue: QueueName = "default") -> None:
    """Let nobody get tasks of a queue until it is resumed.

    Everything else goes on.
    """
    with open_store(url, queue) as store:
        names = queue_names(store)
        store.ask(Pause(queue=queue), PauseSet)
    hint_at_new(queue, names)
    print_line(f"queue {queue} is paused")


def resume(url: Url = None, queue: QueueName = "default") -> None:
    """Let tasks of a queue be got again."""
    with open_store(url, queue) as store:
        names = queue_names(store)
        store.ask(Resume(queue=queue), PauseSet)
    hint_at_new(queue, names)
    print_line(f"queue {queue} is resumed")


def _confirm(queue: str, states: tuple[TaskState, ...]) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: add --yes if you mean it", param_hint="--yes")
    what = f"all {', '.join(states)} tasks" if states else "all tasks, in whatever state,"
    typer.confirm(f"Remove {what} of queue {queue}?", abort=True, err=True)
