"""Options and arguments that several verbs have."""

from __future__ import annotations

from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        "-u",
        metavar="URL",
        help="The store, such as json:///Queue.json. [default: DISTQUEUE_URL, else distqueue.toml]",
        show_default=False,
    ),
]
QueueName = Annotated[str, typer.Option("--queue", "-q", metavar="NAME", help="The queue.")]
AnyQueue = Annotated[
    str | None,
    typer.Option(
        "--queue", "-q", metavar="NAME", help="The queue. [default: all of the store]", show_default=False
    ),
]
SomeQueues = Annotated[
    list[str] | None,
    typer.Option(
        "--queue",
        "-q",
        metavar="NAME",
        help="A queue; may be repeated. [default: all there are]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The task's id.", show_default=False)]
TaskIds = Annotated[list[str], typer.Argument(metavar="TASK_ID...", help="Ids of tasks.", show_default=False)]
Receipts = Annotated[
    list[str],
    typer.Argument(metavar="RECEIPT...", help="Receipts that `get --lease` has printed.", show_default=False),
]
