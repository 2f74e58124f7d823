"""``backends`` and ``config``: what is installed, and what is in force."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from distqueue.cli.errors import ExitCode
from distqueue.cli.options import AsJson, QueueName, Url
from distqueue.cli.output import print_json, print_table
from distqueue.config import explain

_NOT_BROKEN: Final = ("ok", "disabled")


def backends(
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if a backend cannot be used.")] = False,
) -> None:
    """List the storage backends that are installed."""
    from distqueue.plugins import installed_plugins  # it searches everything that is installed

    rows = installed_plugins().backends()
    if as_json:
        for row in rows:
            print_json(row)
    else:
        print_table(
            ("name", "status", "from", "version", "reason", "summary"),
            [
                (row.scheme, row.status, row.distribution, row.version, row.reason, row.summary)
                for row in rows
            ],
        )
    if check and any(row.status not in _NOT_BROKEN for row in rows):
        raise typer.Exit(ExitCode.ERROR)


def config(url: Url = None, queue: QueueName = "default", as_json: AsJson = False) -> None:
    """Print the settings in force, and where they come from.

    Secrets are hidden.
    """
    values = explain(url, queue)
    if as_json:
        for value in values:
            print_json(value)
    else:
        print_table(("key", "value", "from"), [(each.key, each.value, each.source) for each in values])
