"""``fsck``: examining a store that nobody else is using."""

from __future__ import annotations

from typing import Annotated

import typer

from distqueue.cli.errors import ExitCode, complain
from distqueue.cli.options import AsJson, Url
from distqueue.cli.output import print_json, print_line
from distqueue.config import find_settings


def fsck(
    url: Url = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Keep what is bad aside and go on with what is good.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Examine a store, and repair it if asked to."""
    from distqueue.opening import examine_store  # not needed by whoever asks for help

    settings = find_settings(url)
    report = examine_store(settings.url, repair=repair, **settings.options)
    if as_json:
        print_json(report)
    else:
        for finding in report.findings:
            print_line(finding)
        print_line(f"{settings.url} is {_verdict(report.is_sound, bool(report.findings))}")
        if report.kept_aside:
            print_line(f"what was bad is kept in {report.kept_aside}")
    if not report.is_sound:
        complain("to go on with what is good, stop all programs that use the store and add --repair")
        raise typer.Exit(ExitCode.ERROR)


def _verdict(is_sound: bool, has_findings: bool) -> str:
    if not is_sound:
        return "damaged"
    return "repaired" if has_findings else "sound"
