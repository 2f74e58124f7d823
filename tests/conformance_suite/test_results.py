"""What becomes of a clause: passed, refused, not run, flaky or failed, and never silently left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from distqueue.conformance.clauses import CLAUSES
from distqueue.conformance.report import ClauseResult, Report, State, SubjectReport, read_reports
from distqueue.conformance.table import by_capability, by_group, main, page, remarks, unseen_syncs
from distqueue_backends.json.options import JSON_CAPABILITIES
from distqueue_backends.memory import MEMORY_CAPABILITIES

pytestmark = pytest.mark.slow

SUBJECTS = """
import unittest

import pytest

from distqueue.conformance import BackendConformance
from distqueue.conformance.clauses import CLAUSES, clause
from distqueue.conformance.harness import Harness
from distqueue.conformance.suite.subject import Subject


class Weak(Harness):
    reasons = {"restart_engine": "nobody may"}


class TestOdd(Subject):
    url = "memory://{name}"
    harness = Weak
    tried = []

    @clause("ODD-1", "a clause that is kept", look="here")
    def test_kept(self) -> None:
        self.put()

    @pytest.mark.parametrize("number", [1, 2])
    @clause("ODD-2", "a clause one of whose tests fails", look="under the carpet")
    def test_half(self, number: int) -> None:
        assert number == 1

    @clause("ODD-3", "a clause for what is not declared", needs="shared_between_processes", look="here")
    def test_refused(self) -> None:
        raise AssertionError

    @clause("ODD-4", "a clause that asks too much", asks="restart_engine", look="here")
    def test_asks(self) -> None:
        raise AssertionError

    @clause("ODD-5", "a clause that asks for what nothing is said of", asks="advance", look="here")
    def test_asks_again(self) -> None:
        raise AssertionError

    @clause("ODD-6", "a clause that skips itself", look="here")
    def test_skips(self) -> None:
        pytest.skip("no time")

    @clause("ODD-12", "a clause that skips itself in another way", look="here")
    def test_skips_in_another_way(self) -> None:
        raise unittest.SkipTest("no engine")

    @clause("ODD-13", "a clause that is expected to fail", look="here")
    def test_is_expected_to_fail(self) -> None:
        pytest.xfail("known")

    @clause("ODD-14", "a clause that ends the run", look="here")
    def test_ends_the_run(self) -> None:
        pytest.exit("enough", returncode=0)

    @clause("ODD-7", "a clause that fails once", look="here")
    def test_flaky(self) -> None:
        self.tried.append(1)
        assert len(self.tried) > 1

    @clause("ODD-8", "a clause that takes long", slow=True, look="here")
    def test_slow(self) -> None:
        self.put()

    @pytest.mark.skip(reason="by a mark")
    @clause("ODD-9", "a clause that somebody marked", look="here")
    def test_marked(self) -> None:
        raise AssertionError

    def check_without(self, capability: str) -> None:
        assert capability != "transactional_enqueue", "it was stored"

    @clause("ODD-11", "a clause whose refusal fails", needs="transactional_enqueue", look="here")
    def test_not_refused(self) -> None:
        self.put()

    @clause("ODD-10", "a clause that finds out that it cannot be run", look="here")
    def test_finds_out(self) -> None:
        self.not_run("there is no moon")
"""
EXPECTED = {
    "ODD-1": (State.PASS, 1, ""),
    "ODD-2": (State.FAIL, 2, "assert 2 == 1"),
    "ODD-3": (State.REFUSED, 1, "shared_between_processes is not declared"),
    "ODD-4": (State.NOT_RUN, 1, "nobody may"),
    "ODD-5": (State.NOT_RUN, 1, "the harness cannot move the clock that the store reads forward"),
    "ODD-6": (State.FAIL, 1, "a clause cannot be skipped: declare less instead (no time)"),
    "ODD-12": (State.FAIL, 1, "a clause cannot be skipped: declare less instead (no engine)"),
    "ODD-13": (State.FAIL, 1, "a clause cannot be skipped: declare less instead (known)"),
    "ODD-14": (State.FAIL, 1, "a clause cannot be skipped: declare less instead (enough)"),
    "ODD-7": (State.FLAKY, 1, "assert 1 > 1"),
    "ODD-8": (State.NOT_RUN, 1, "it is left out of a quick run"),
    "ODD-9": (State.NOT_RUN, 1, "skipped: Skipped: by a mark"),
    "ODD-11": (State.FAIL, 1, "it was stored"),
    "ODD-10": (State.NOT_RUN, 1, "there is no moon"),
}


@pytest.mark.parametrize("spread", [(), ("-n", "2")])
def test_every_clause_is_in_the_report_with_what_became_of_it(
    spread: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "test_odd.py").write_text(SUBJECTS)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), *spread]
    command += ["-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "distqueue.conformance.plugin"]
    command += [
        "--distqueue-quick",
        "--distqueue-seed",
        "7",
        "--distqueue-report",
        "report.json",
        "test_odd.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ODD-2: a clause one of whose tests fails\nwhere to look: under the carpet" in done.stdout.replace(
        "E   ", ""
    ).replace("  ", "")
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report)
    assert (report.quick, report.seed, report.contract) == (True, 7, "1")
    (subject,) = report.subjects
    assert (subject.name, subject.url) == ("TestOdd", "memory://{name}")
    assert subject.capabilities is not None
    assert not subject.keeps_the_contract
    found = {
        name: (each.state, each.tests, each.reason.removeprefix("AssertionError: "))
        for name, each in subject.clauses.items()
    }
    assert found == EXPECTED


def subject(**states: State) -> SubjectReport:
    clauses = {
        name.replace("_", "-"): ClauseResult(clause=name.replace("_", "-"), state=state, reason=state.lower())
        for name, state in states.items()
    }
    return SubjectReport(name="TestAcmeThroughAPipe", url="acme://{name}", backend="acme 1", clauses=clauses)


def report(*subjects: SubjectReport) -> Report:
    return Report(
        suite="1",
        digest="d",
        contract="1",
        python="3.13",
        platform="x",
        seed=0,
        quick=False,
        seconds=1.0,
        subjects=list(subjects),
    )


def row(rows: list[list[str]], name: str) -> list[str]:
    return next(each[1:] for each in rows if each[0] == name)


def test_the_table_counts_states_by_capability_and_by_group() -> None:
    acme = subject(KEEP_1=State.PASS, KEEP_2=State.REFUSED, KEEP_3=State.FAIL)
    table = by_group([acme])
    assert table.columns == ["clauses", "acme, through a pipe"]
    assert row(table.rows, "KEEP") == ["1 kept, 1 refused, 3 not run, 1 FAIL"]
    assert row(by_capability([acme]).rows, "keep_done")[0].startswith("1 kept, 1 refused")


def test_a_clause_that_no_test_was_run_for_is_seen() -> None:
    (line,) = remarks([subject(KEEP_1=State.PASS)], State.NOT_RUN)
    more = len(CLAUSES) - 1
    assert line == f"{more} more (acme, through a pipe): not run, it was not among the tests"


def test_syncs_that_are_declared_and_that_nobody_has_seen_are_told() -> None:
    seen, unseen, unsafe = subject(SYNC_2=State.PASS), subject(KEEP_1=State.PASS), subject()
    seen.capabilities = unseen.capabilities = JSON_CAPABILITIES
    unsafe.capabilities = MEMORY_CAPABILITIES
    assert unseen_syncs([seen, unseen, unsafe]) == [
        "acme, through a pipe: fsync is declared, and no clause has seen it sync"
    ]


def test_a_run_in_which_nothing_passed_does_not_keep_the_contract() -> None:
    assert subject(KEEP_1=State.PASS, KEEP_2=State.NOT_RUN).keeps_the_contract
    assert not subject(KEEP_2=State.NOT_RUN).keeps_the_contract
    assert not subject(KEEP_1=State.PASS, KEEP_2=State.FLAKY).keeps_the_contract


def test_the_page_does_not_depend_on_the_day() -> None:
    one, other = report(subject(KEEP_1=State.PASS)), report(subject(KEEP_1=State.PASS))
    other.seconds, other.seed, other.python, other.subjects[0].engine = 2.0, 3, "3.12", "Acme 7"
    assert page([one]) == page([other])
    assert "- KEEP-1" not in page([one])
    assert "KEEP-1 (acme, through a pipe): FAIL, fail" in page([report(subject(KEEP_1=State.FAIL))])


def test_no_page_is_made_of_a_run_that_did_not_come_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reports").mkdir()
    made, where = report(subject(KEEP_1=State.PASS)), tmp_path / "page.md"
    made.write(tmp_path / "reports" / "all.json")
    assert main([str(tmp_path / "reports"), "--into", str(where)]) == 0
    made.unfinished = "its process ended in test_it"
    made.write(tmp_path / "reports" / "all.json")
    with pytest.raises(SystemExit):
        main([str(tmp_path / "reports"), "--check", str(where)])
    assert "did not come to its end: its process ended in test_it" in capsys.readouterr().err


def test_no_page_is_made_of_what_is_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(subject(KEEP_1=State.PASS)).write(tmp_path / "acme.json")
    (tmp_path / "other.json").write_text("{")
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--into", str(tmp_path / "page.md")])
    assert f"{tmp_path / 'other.json'} is no report of the suite" in capsys.readouterr().err


def test_no_page_is_made_of_runs_of_different_suites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = report(subject(KEEP_1=State.PASS)), report(subject(KEEP_1=State.PASS))
    other.digest = "another"
    one.write(tmp_path / "acme.json")
    other.write(tmp_path / "other.json")
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--into", str(tmp_path / "page.md")])
    files = f"{tmp_path / 'other.json'} is of another version of the suite than {tmp_path / 'acme.json'}"
    assert files in capsys.readouterr().err


ENDING = """
import os

from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject


class TestEnding(Subject):
    url = "memory://{name}"

    @clause("ODD-1", "a clause that is kept", look="here")
    def test_kept(self) -> None:
        self.put()

    @clause("ODD-2", "a clause whose test ends the run", look="there")
    def test_that_ends_it(self) -> None:
        ENDS
"""


LAST = """
    @clause("ODD-3", "a clause that is held once", look="there")
    def test_the_last(self) -> None:
        with open("last", "a") as file:
            file.write("once\\n")
"""


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("os._exit(3)", "its process ended in test_that_ends_it"),
        ("raise KeyboardInterrupt", "it was interrupted"),
        ("os.abort()", "its process ended in test_that_ends_it"),
        ("pass", ""),
    ],
)
def test_a_run_that_does_not_come_to_its_end_shows_nothing(ends: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "test_ending.py").write_text(ENDING.replace("ENDS", ends))
    report = tmp_path / "report.json"
    _run_here(tmp_path, report)
    (found,) = read_reports([report])
    assert found.unfinished == said
    assert found.subjects[0].clauses["ODD-1"].state is State.PASS
    assert found.shows_that_it_is_kept is not bool(said)


def test_a_test_that_takes_its_worker_with_it_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "test_ending.py").write_text(ENDING.replace("ENDS", "os._exit(3)"))
    report = tmp_path / "report.json"
    _run_here(tmp_path, report, "-n", "1")
    (found,) = read_reports([report])
    assert found.unfinished == "its process ended in test_that_ends_it"
    assert found.subjects[0].clauses["ODD-1"].state is State.PASS
    assert not found.shows_that_it_is_kept


def test_a_copy_of_the_process_that_a_backend_forks_is_ended(tmp_path: Path) -> None:
    text = ENDING.replace("ENDS", "os.fork()") + LAST
    (tmp_path / "test_ending.py").write_text(text)
    report = tmp_path / "report.json"
    done = _run_here(tmp_path, report)
    (found,) = read_reports([report])
    assert (tmp_path / "last").read_text() == "once\n"
    assert "did not end the copy" in done.stderr + done.stdout
    assert found.unfinished == ""


def test_a_report_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "test_ending.py").write_text(ENDING.replace("ENDS", "pass"))
    done = _run_here(tmp_path, tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the report cannot be written" in done.stderr
    assert "name another file" in done.stderr


def _run_here(directory: Path, report: Path, *spread: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(directory), *spread]
    command += ["-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "distqueue.conformance.plugin"]
    command += ["--distqueue-report", str(report), "test_ending.py"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
