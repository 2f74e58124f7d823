"""``migrate``: making the tables of a store in a database, or bringing them up to date."""

from __future__ import annotations

from typing import Annotated

import typer

from distqueue.cli.errors import note
from distqueue.cli.options import Url
from distqueue.cli.output import print_line
from distqueue.config import find_settings


def migrate(
    url: Url = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL instead, for whoever may carry it out.")
    ] = False,
    since: Annotated[
        int | None,
        typer.Option(
            "--from",
            metavar="VERSION",
            help="With --sql: start from this version of the tables, and ask nobody; 0 makes them all. "
            "[default: the version that the database has]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make the tables of a store in a database, or bring them up to date.

    Programs go on meanwhile. Run it before programs that have a newer distqueue are started.
    """
    if since is not None and not sql:
        raise typer.BadParameter("only what --sql prints can start from a version", param_hint="--from")
    from distqueue.opening import migrate_store  # not needed by whoever asks for help

    settings = find_settings(url)
    report = migrate_store(settings.url, only_sql=sql, since=since, **settings.options)
    if not sql:
        print_line(f"{settings.url}: {_said(report.before, report.after)}")
    for line in report.sql.splitlines():
        print_line(line)
    if report.unasked:
        note(f"{report.unasked}; this makes all tables. If there are some, name their version with --from")


def _said(before: int, after: int) -> str:
    if before == after:
        return f"up to date, version {after}"
    return f"created, version {after}" if before == 0 else f"brought from version {before} to {after}"
