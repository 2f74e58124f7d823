"""The compliance table: what became of the clauses, backend by capability and by group of clauses.

    python -m distqueue.conformance.table REPORTS --into docs/conformance.md
    python -m distqueue.conformance.table REPORTS --check docs/conformance.md

It is made of the reports that ``--distqueue-report`` has written into the directory REPORTS. Nothing in it
differs from run to run, so that a page can be held against the reports of another day.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from distqueue.capabilities import Durability
from distqueue.conformance import BackendConformance  # noqa: F401 - it registers the clauses
from distqueue.conformance.clauses import CLAUSES, DECLARED, Clause
from distqueue.conformance.report import ClauseResult, Report, State, SubjectReport, read_reports

KEPT: Final = "kept"
_WORDS: Final = {
    State.PASS: KEPT,
    State.REFUSED: "refused",
    State.NOT_RUN: "not run",
    State.FLAKY: "FLAKY",
    State.FAIL: "FAIL",
}
_UNKNOWN: Final = "it was not among the tests"
_INTRODUCTION: Final = """\
# What each backend keeps

Every clause of [the contract](contract.md), held against every backend of this package. *Kept*: its
tests passed. *Refused*: the backend does not declare what the clause needs, and refuses it with nothing
stored. *Not run*: nothing is known, for the reason below. Numbers are clauses.

Written by `python -m distqueue.conformance.table`, from the reports of runs: `tox` makes them, and
fails if this page says something else. What takes long is held on each store, and not through every way
into a broker process. Held against version {contract} of the contract.
"""


class Rows(msgspec.Struct, frozen=True):
    """A table: the names of its columns, and its rows, each of which begins with what it is about."""

    columns: list[str]
    rows: list[list[str]]


def subjects_of(reports: Iterable[Report]) -> list[SubjectReport]:
    """Return what was tested in all reports, by name."""
    return sorted((each for report in reports for each in report.subjects), key=lambda each: each.name)


def title(subject: SubjectReport) -> str:
    """Return a name for people: ``TestJsonThroughAPipe`` is ``json, through a pipe``.

    That of a URL from the command line is the scheme.
    """
    if subject.name == "TestURL":
        return subject.url.partition(":")[0]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", subject.name.removeprefix("Test")).lower()
    return words.replace(" through a", ", through a ")


def by_capability(subjects: Sequence[SubjectReport]) -> Rows:
    """Return a row for each capability."""
    return _rows("capability", DECLARED, subjects, lambda clause, name: name in clause.needs)


def by_group(subjects: Sequence[SubjectReport]) -> Rows:
    """Return a row for each group of clauses, in the order of the alphabet."""
    groups = sorted({clause.group for clause in CLAUSES.values()})
    return _rows("clauses", groups, subjects, lambda clause, name: clause.group == name)


def _rows(
    what: str,
    names: Iterable[str],
    subjects: Sequence[SubjectReport],
    belongs: Callable[[Clause, str], bool],
) -> Rows:
    rows = []
    for name in names:
        clauses = [clause.id for clause in CLAUSES.values() if belongs(clause, name)]
        rows.append([name, *[_cell(subject, clauses) for subject in subjects]])
    return Rows([what, *[title(subject) for subject in subjects]], rows)


def _cell(subject: SubjectReport, clauses: Sequence[str]) -> str:
    states = Counter(_state(subject, clause) for clause in clauses)
    return ", ".join(f"{states[state]} {word}" for state, word in _WORDS.items() if states[state])


def _state(subject: SubjectReport, clause: str) -> State:
    result = subject.clauses.get(clause)
    return State.NOT_RUN if result is None else result.state


def remarks(subjects: Sequence[SubjectReport], *states: State) -> list[str]:
    """Return a line for each reason why clauses are in one of the states: which, and where."""
    where: dict[tuple[State, str, str], list[str]] = defaultdict(list)
    for clause in CLAUSES:
        reasons: dict[tuple[State, str], list[str]] = defaultdict(list)
        for subject in subjects:
            result = subject.clauses.get(
                clause, ClauseResult(clause=clause, state=State.NOT_RUN, reason=_UNKNOWN)
            )
            if result.state in states:
                reasons[result.state, result.reason].append(title(subject))
        for (state, reason), titles in reasons.items():
            where[state, reason, "; ".join(titles)].append(clause)
    return [
        f"{_named(clauses, reason)} ({titles}): {_WORDS[state]}, {reason}"
        for (state, reason, titles), clauses in sorted(where.items())
    ]


def _named(clauses: Sequence[str], reason: str) -> str:
    """Return the names of clauses, but for those that nobody asked for."""
    return f"{len(clauses)} more" if reason == _UNKNOWN else " ".join(clauses)


def unseen_syncs(subjects: Sequence[SubjectReport]) -> list[str]:
    """Return a line for each subject that says it syncs where no clause has seen it do so."""
    return [
        f"{title(subject)}: {subject.capabilities.durability} is declared, and no clause has seen it sync"
        for subject in subjects
        if subject.capabilities is not None
        and subject.capabilities.durability in (Durability.FSYNC, Durability.REPLICATED)
        and not any(_state(subject, each) is State.PASS for each in CLAUSES if each.startswith("SYNC-"))
    ]


def not_run(subjects: Sequence[SubjectReport]) -> list[str]:
    """Return the clauses of which nothing is known on at least one of the subjects."""
    return [clause for clause in CLAUSES if any(_state(each, clause) is State.NOT_RUN for each in subjects)]


def findings(subjects: Sequence[SubjectReport]) -> list[str]:
    """Return what the subjects can do and do not declare."""
    return [f"{title(subject)}: {finding}" for subject in subjects for finding in subject.findings]


def page(reports: Sequence[Report]) -> str:
    """Return the whole table as Markdown."""
    subjects = subjects_of(reports)
    contract = ", ".join(sorted({report.contract for report in reports}))
    parts = [_INTRODUCTION.format(contract=contract)]
    parts += ["## By capability\n", _markdown(by_capability(subjects))]
    parts += ["## By group of clauses\n", _markdown(by_group(subjects))]
    for heading, lines in (
        ("Broken", remarks(subjects, State.FAIL, State.FLAKY)),
        ("Not run", remarks(subjects, State.NOT_RUN)),
        ("Done without being declared", findings(subjects)),
    ):
        if lines:
            parts += [f"## {heading}\n", "".join(f"- {line}\n" for line in lines)]
    return "\n".join(parts)


def _markdown(table: Rows) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Write or check a page, and return the exit code."""
    line = argparse.ArgumentParser(prog="python -m distqueue.conformance.table", description=__doc__)
    line.add_argument("reports", type=Path, metavar="REPORTS", help="a directory of reports")
    what = line.add_mutually_exclusive_group(required=True)
    what.add_argument("--into", type=Path, metavar="FILE", help="write the page")
    what.add_argument("--check", type=Path, metavar="FILE", help="fail if the page says something else")
    options = line.parse_args(arguments)
    reports: dict[Path, Report] = {}
    for path in sorted(options.reports.glob("*.json")):
        try:
            (reports[path],) = read_reports([path])
        except msgspec.DecodeError as error:
            line.error(f"{path} is no report of the suite: {error}")
    if not reports:
        line.error(f"there are no reports in {options.reports}; run the suite with --distqueue-report first")
    first = next(iter(reports))
    for path, report in reports.items():
        if report.unfinished:
            line.error(f"{path} is of a run that did not come to its end: {report.unfinished}")
        if report.digest != reports[first].digest:
            line.error(f"{path} is of another version of the suite than {first}; run both with the same one")
    text = page(list(reports.values()))
    if options.into is not None:
        options.into.write_text(text)
        return 0
    return _compare(options.check, text)


def _compare(path: Path, text: str) -> int:
    there = path.read_text().splitlines() if path.exists() else []
    differing = [each for each in text.splitlines() if each not in there]
    if there == text.splitlines():
        return 0
    print(f"{path} is not what these reports show; renew it with --into instead of --check", file=sys.stderr)
    print("\n".join(differing[:20]), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
