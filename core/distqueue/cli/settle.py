"""``ack``, ``retry``, ``release`` and ``reject``: settling what ``get --lease`` has handed out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from distqueue.cli.errors import report
from distqueue.cli.options import QueueName, Receipts, Url
from distqueue.cli.output import print_line, shown_time
from distqueue.cli.store import open_store
from distqueue.commands import Ack, Reject, Release, Retry, Settle
from distqueue.errors import Refused
from distqueue.outcomes import expect
from distqueue.results import Settled
from distqueue.task import TaskState

Error = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What went wrong: it is recorded with the task.")
]


def ack(receipts: Receipts, url: Url = None, queue: QueueName = "default") -> None:
    """Settle tasks as carried out."""
    _settle(url, queue, [Ack(queue=queue, receipt=receipt) for receipt in receipts])


def retry(
    receipts: Receipts,
    url: Url = None,
    queue: QueueName = "default",
    delay: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Not before so long. [default: as the queue's backoff says]"),
    ] = None,
    error: Error = None,
) -> None:
    """Try tasks again later: the attempts failed.

    A task whose attempts are used up is dead.
    """
    from distqueue.config import find_settings

    backoff = find_settings(url, queue).retry
    _settle(
        url,
        queue,
        [
            Retry(queue=queue, receipt=receipt, delay=delay, error=error, backoff=backoff)
            for receipt in receipts
        ],
    )


def release(
    receipts: Receipts,
    url: Url = None,
    queue: QueueName = "default",
    delay: Annotated[float, typer.Option(metavar="SECONDS", help="Not before so long.")] = 0.0,
) -> None:
    """Give tasks back, with their attempts and, without a delay, their places."""
    _settle(url, queue, [Release(queue=queue, receipt=receipt, delay=delay) for receipt in receipts])


def reject(receipts: Receipts, url: Url = None, queue: QueueName = "default", error: Error = None) -> None:
    """Make tasks dead at once: they can never succeed."""
    _settle(url, queue, [Reject(queue=queue, receipt=receipt, error=error) for receipt in receipts])


def _settle(url: str | None, queue: str, commands: Sequence[Settle]) -> None:
    """Settle deliveries, and print what became of each task."""
    with open_store(url, queue) as store:
        outcomes = store.broker.apply(commands)
    codes = [report(outcome) for outcome in outcomes if isinstance(outcome, Refused)]
    for outcome in outcomes:
        if not isinstance(outcome, Refused):
            print_line(_said(expect(outcome, Settled)))
    if codes:
        raise typer.Exit(codes[0])


def _said(settled: Settled) -> str:
    if settled.state is TaskState.SCHEDULED and settled.until is not None:
        return f"{settled.task_id} is scheduled for {shown_time(settled.until)}"
    return f"{settled.task_id} is {settled.state}"
