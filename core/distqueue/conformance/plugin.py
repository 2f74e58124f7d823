"""A pytest plugin that gathers what became of every clause: ``-p distqueue.conformance.plugin``.

The suite itself needs no plugin. This one adds ``--distqueue-report FILE``, which writes the report of a
run (also of one that pytest-xdist spreads over processes), and the options of such a run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import signal
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from distqueue.capabilities import Capabilities
from distqueue.conformance.attached import Attached
from distqueue.conformance.clauses import clause_of
from distqueue.conformance.report import ClauseResult, Fact, Report, State, SubjectReport
from distqueue.conformance.run import URL
from distqueue.errors import DistqueueError
from distqueue.plugins import CONTRACT, installed_plugins
from distqueue.urls import redact

_STATES: Final = {"passed": State.PASS, "failed": State.FAIL, "skipped": State.NOT_RUN}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a run."""
    group = parser.getgroup("distqueue", "the conformance suite of distqueue")
    group.addoption("--distqueue-report", type=Path, metavar="FILE", help="write what was found, as JSON")
    group.addoption(
        "--distqueue-quick",
        action="store_true",
        help="leave out what takes long, and try a quarter of the random examples",
    )
    group.addoption("--distqueue-seed", type=int, default=0, metavar="N", help="what random tests begin with")
    group.addoption("--distqueue-attached", type=int, metavar="FD", help=argparse.SUPPRESS)


def pytest_configure(config: pytest.Config) -> None:
    """Take the URL, and gather results where a report is asked for: in the process that others report to."""
    if (url := os.environ.get(URL)) is not None:
        from distqueue.conformance.url import TestURL

        TestURL.url = url
        # A shell lets what runs in the background ignore this signal, by which the command ends the run.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.distqueue_attached is not None:
        attached = Attached(config.option.distqueue_attached, config)
        config.pluginmanager.register(attached, "distqueue-attached")
    if config.option.distqueue_report is not None and not hasattr(config, "workerinput"):
        gathering = Gathering(config)
        try:
            gathering.write("it had only begun")
        except OSError as error:
            raise pytest.UsageError(f"the report cannot be written ({error}); name another file") from None
        config.pluginmanager.register(gathering, "distqueue-gathering")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note of each test which clause it holds against which URL."""
    clause = clause_of(getattr(item, "function", None))
    if clause is not None and isinstance(item, pytest.Function) and item.cls is not None:
        item.user_properties.append((Fact.CLAUSE.value, [item.cls.__name__, redact(item.cls.url), clause.id]))


class Gathering:
    """Builds the report of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = time.monotonic()
        self._pid = os.getpid()
        self._subjects: dict[str, SubjectReport] = {}
        self._lost = ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write down where the run is: a test may end the whole process, if it does not run in another one.

        A copy of the process that a backend has forked, and not ended, is ended here.
        """
        if os.getpid() != self._pid:
            os.write(2, b"a backend forked the process of the test before, and did not end the copy\n")
            os._exit(1)
        if not self._config.pluginmanager.hasplugin("dsession"):  # pytest-xdist's
            self.write(f"its process ended in {nodeid.rpartition('::')[2]}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a test, or the beginning or end of one that went wrong."""
        facts: dict[str, Any] = dict(report.user_properties)
        if report.when not in ("setup", "call", "teardown"):  # so pytest-xdist tells that a worker is gone
            self._lost = f"its process ended in {report.nodeid.rpartition('::')[2]}"
        if Fact.CLAUSE not in facts or (report.when != "call" and report.passed):
            return
        name, url, clause = facts[Fact.CLAUSE]
        subject = self._subjects.get(name)
        if subject is None:
            subject = SubjectReport(name=name, url=url, backend=_backend(url), clauses={}, findings=[])
            self._subjects[name] = subject
        subject.engine = facts.get(Fact.ENGINE, subject.engine)
        if Fact.CAPABILITIES in facts:
            subject.capabilities = msgspec.convert(facts[Fact.CAPABILITIES], Capabilities)
        for finding in (each[1] for each in report.user_properties if each[0] == Fact.FINDING):
            if finding not in subject.findings:
                subject.findings.append(str(finding))
        self._add(subject, clause, *_state(report, facts))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the whole report."""
        is_whole = exitstatus not in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        self.write(self._lost if is_whole else "it was interrupted")

    def write(self, unfinished: str) -> None:
        """Write what is known so far."""
        subjects = sorted(self._subjects.values(), key=lambda each: each.name)
        for subject in subjects:
            subject.clauses = dict(sorted(subject.clauses.items(), key=lambda item: _by_number(item[0])))
            subject.findings.sort()
        Report(
            suite=version("distqueue"),
            digest=suite_digest(),
            contract=CONTRACT,
            python=platform.python_version(),
            platform=platform.platform(terse=True),
            seed=self._config.option.distqueue_seed,
            quick=self._config.option.distqueue_quick,
            seconds=round(time.monotonic() - self._began, 1),
            subjects=subjects,
            unfinished=unfinished,
        ).write(self._config.option.distqueue_report)

    def _add(self, subject: SubjectReport, clause: str, state: State, reason: str) -> None:
        if clause in subject.clauses:
            subject.clauses[clause].add(state, reason)
        else:
            subject.clauses[clause] = ClauseResult(clause=clause, state=state, reason=reason)


def _state(report: pytest.TestReport, facts: dict[str, Any]) -> tuple[State, str]:
    """Return what became of a test, and why."""
    noted = State(facts[Fact.STATE]) if Fact.STATE in facts else None
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = getattr(crash, "message", None) or str(report.longrepr)
        return State.FLAKY if noted is State.FLAKY else State.FAIL, reason.partition("\n")[0][:200]
    if report.skipped and noted is None:
        return State.NOT_RUN, f"skipped: {report.longrepr[2] if isinstance(report.longrepr, tuple) else ''}"
    return noted or _STATES[report.outcome], facts.get(Fact.REASON, "")


def _backend(url: str) -> str:
    try:
        plugin = installed_plugins().resolve(url.partition(":")[0])
    except DistqueueError:
        return ""
    return f"{plugin.distribution} {plugin.version}".strip()


def _by_number(clause: str) -> tuple[str, int]:
    group, _, number = clause.rpartition("-")
    return group, int(number)


def suite_digest() -> str:
    """Return a digest of the source of the suite."""
    digest = hashlib.sha256()
    for path in _sources(Path(__file__).parent):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(directory: Path) -> Iterator[Path]:
    yield from sorted(directory.rglob("*.py"))
