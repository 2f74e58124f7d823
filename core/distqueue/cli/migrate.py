"""``migrate``: making the tables of a store in a database, or bringing them up to date."""

from __future__ import annotations

from typing import Annotated

import typer

from distqueue.cli.options import Url
from distqueue.cli.output import print_line
from distqueue.config import find_settings


def migrate(
    url: Url = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL instead, for whoever may carry it out.")
    ] = False,
) -> None:
    """Make the tables of a store in a database, or bring them up to date.

    Programs go on meanwhile. Run it before programs that have a newer distqueue are started.
    """
    from distqueue.opening import migrate_store  # not needed by whoever asks for help

    settings = find_settings(url)
    report = migrate_store(settings.url, only_sql=sql, **settings.options)
    if not sql:
        print_line(f"{settings.url}: {_said(report.before, report.after)}")
    for line in report.sql.splitlines():
        print_line(line)


def _said(before: int, after: int) -> str:
    if before == after:
        return f"up to date, version {after}"
    return f"created, version {after}" if before == 0 else f"brought from version {before} to {after}"
