"""``conformance``: does a backend keep the contract?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from distqueue.cli.errors import ExitCode, complain, note
from distqueue.cli.output import counted, print_line, print_table
from distqueue.errors import ConfigError

if TYPE_CHECKING:
    from distqueue.conformance.report import Report

_FILE: Final = Path("conformance.json")


def conformance(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="The store, with {tmp} or {name} in it, as each test needs one of its own: "
            "'json:///{tmp}/Queue.json'.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Leave out the clauses that take long, and try a quarter of the random examples."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="What random tests begin with.")] = 0,
    select: Annotated[
        str, typer.Option("-k", metavar="EXPRESSION", help="Only tests whose names match, as with pytest.")
    ] = "",
    json_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Where the report goes; with --report what is read, and may be repeated. "
            "[default: conformance.json]",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Run nothing; show the table of reports that are there.")
    ] = False,
) -> None:
    """Hold a backend against every clause of the contract.

    Needs the extra: pip install 'distqueue[conformance]'. The exit code is 0 if everything that the
    backend declares is kept, and what it does not declare is refused.
    """
    from distqueue.conformance.run import check_extra  # not needed by whoever asks for help

    files = json_files or [_FILE]
    if report == (url is not None):
        raise typer.BadParameter("give a URL to test, or --report to see what an earlier run found")
    check_extra()
    if url is not None:
        _run(url, files[0], quick=quick, seed=seed, select=select)
    reports = _read(files)
    if not any(each.subjects or each.unfinished for each in reports):
        complain(f"no test was run: none matches -k {select!r}" if select else "no test was run")
        raise typer.Exit(ExitCode.ERROR)
    if not _show(reports):
        raise typer.Exit(ExitCode.ERROR)


def _run(url: str, file: Path, *, quick: bool, seed: int, select: str) -> None:
    from distqueue.conformance.run import Run

    run = Run(url=url, report=file, quick=quick, seed=seed, select=select)
    run.check()
    try:
        run.carry_out()
    except (KeyboardInterrupt, SystemExit):  # the second is what a signal becomes
        note(f"interrupted; what was found until then is in {file}")
        raise
    if not file.exists():
        complain("the suite could not be run; see above")
        raise typer.Exit(ExitCode.ERROR)
    note(f"the report is in {file}; `distqueue conformance --report --json {file}` shows it again")


def _read(files: list[Path]) -> list[Report]:
    from distqueue.conformance.report import read_reports

    try:
        return read_reports(files)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {error.filename}; run `distqueue conformance URL` first") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"that is no report of the suite: {error}") from None


def _show(reports: list[Report]) -> bool:
    """Print the tables and what they do not say; return whether the contract is kept."""
    from distqueue.conformance.report import State
    from distqueue.conformance.table import (
        by_capability,
        by_group,
        findings,
        not_run,
        remarks,
        subjects_of,
        unseen_syncs,
    )

    subjects = subjects_of(reports)
    for table in (by_capability(subjects), by_group(subjects)):
        print_table(table.columns, table.rows)
    for line in (
        *remarks(subjects, State.NOT_RUN),
        *[f"not declared, but done: {each}" for each in findings(subjects)],
        *remarks(subjects, State.FLAKY, State.FAIL),
    ):
        print_line(line)
    for each in reports:
        if each.unfinished:
            print_line(f"the run did not come to its end: {each.unfinished}")
    for line in unseen_syncs(subjects):
        print_line(line)
    kept = bool(reports) and all(each.shows_that_it_is_kept for each in reports)
    print_line(_verdict(kept, broken=any(each.is_broken for each in reports), left_out=not_run(subjects)))
    return kept


def _verdict(kept: bool, *, broken: bool, left_out: list[str]) -> str:
    if kept:
        partly = f" where it was run; not run: {counted(len(left_out), 'clause')}" if left_out else ""
        return f"the contract is kept{partly}"
    return "the contract is not kept" if broken else "nothing is proved: no clause that was run has passed"
