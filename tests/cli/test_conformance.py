"""``conformance`` runs the suite, shows the table, and says what is missing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from distqueue.conformance.report import read_reports
from tests import commands

from .conftest import Shell

pytestmark = pytest.mark.slow

STOPS: Final = """
import os, time
from distqueue.conformance.processes import OtherProcess

real = OtherProcess.apply

def apply(other, commands):
    with open(os.environ["REACHED"], "w") as reached:
        reached.write(str(other.child.pid))
    other.child.stop()
    while True:
        time.sleep(1)

OtherProcess.apply = apply
"""
"""Lets a test stop its child process, say so, and hang."""

FEW = ("-k", "test_strict_priority or test_a_delayed_task_waits")


def test_a_run_ends_with_the_table_and_a_report_that_can_be_shown_again(shell: Shell) -> None:
    done = shell("conformance", "json:///{tmp}/Queue.json", *FEW, "--quick")
    assert re.fullmatch(r"the contract is kept where it was run; not run: \d{3} clauses", done.lines[-1])
    assert "priorities\t1 kept, 8 not run" in done.lines
    assert "conformance.json" in done.err
    again = shell("conformance", "--report")
    assert again.out == done.out[done.out.index("capability\tjson") :]


def test_a_run_of_which_no_clause_passed_proves_nothing(shell: Shell) -> None:
    done = shell("conformance", "json:///{tmp}/Queue.json", "-k", "tidying_up_is_synced", "--quick", code=1)
    assert done.lines[-1] == "nothing is proved: no clause that was run has passed"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "give a URL to test, or --report"),
        (("json:///{tmp}/Queue.json", "--report"), 2, "give a URL to test, or --report"),
        (("json:///Queue.json",), 1, "'json:///{tmp}/Queue.json'; this is 'json:///Queue.json'"),
        (("nosuch://{name}",), 1, "nosuch"),
        (("--report",), 1, "there is no conformance.json; run `distqueue conformance URL` first"),
        (("--report", "--json", "Queue.json"), 1, "that is no report of the suite"),
        (("memory://{name}", "--json", "."), 1, "name another file"),
        (("memory://{name}", "-k", "nothing_is_called_that"), 1, "none matches -k 'nothing_is_called_that'"),
    ],
)
def test_what_cannot_be_run_or_shown_says_what_to_do(
    shell: Shell, arguments: tuple[str, ...], code: int, said: str
) -> None:
    shell("put", "1")
    assert said in shell("conformance", *arguments, code=code).err.replace("\n", " ")


def test_an_interrupted_run_says_so_and_leaves_nothing_running(tmp_path: Path, shell: Shell) -> None:
    reached = tmp_path / "reached"
    os.mkfifo(reached)
    (tmp_path / "stops.py").write_text(STOPS)
    env = {**shell.env, "PYTHONPATH": str(tmp_path), "PYTEST_PLUGINS": "stops", "REACHED": str(reached)}
    run = subprocess.Popen(
        commands.command("conformance", "json:///{tmp}/Queue.json", "-k", "test_processes_see_each_other"),
        cwd=shell.directory,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid = int(reached.read_text())
    run.send_signal(signal.SIGINT)
    _, err = run.communicate()
    assert run.returncode == 130, err
    assert "interrupted; what was found until then is in conformance.json" in err
    (found,) = read_reports([shell.directory / "conformance.json"])
    assert found.unfinished == "it was interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
