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
HANGS: Final = """
import os, signal, time
from distqueue_backends.memory import MemoryBackend

def say(*what):
    with open(os.environ["REACHED"], "w") as reached:
        reached.write(str(os.getpid()))

def apply(backend, commands):
    signal.signal(signal.SIGINT, say)
    say()
    while True:
        time.sleep(1)

MemoryBackend.apply = apply
"""
"""Lets a test hang, whatever interrupts it, and say so each time."""
LEAVES: Final = """
import threading
from distqueue_backends.memory import MemoryBackend

real = MemoryBackend.shut

def shut(backend):
    real(backend)
    threading.Thread(target=threading.Event().wait, name="for-ever").start()

MemoryBackend.shut = shut
"""
"""Lets each store that is closed start a thread that never ends."""

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


def test_a_password_is_not_told_when_a_test_fails(shell: Shell) -> None:
    url = "postgresql://me:sekrit@127.0.0.1:1/db?schema={name}"
    done = shell("conformance", url, "-k", "test_strict_priority", code=1)
    assert "Connection refused" in done.out
    report = (shell.directory / "conformance.json").read_text()
    assert "sekrit" not in done.out + done.err + report


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_nothing_running(
    number: signal.Signals, tmp_path: Path, shell: Shell
) -> None:
    in_background = number is signal.SIGTERM  # the way that a shell starts it
    reached = tmp_path / "reached"
    command = ("json:///{tmp}/Queue.json", "-k", "test_processes_see_each_other")
    run = start(shell, STOPS, reached, *command, in_background=in_background)
    pid = int(reached.read_text())
    run.send_signal(number)
    _, err = run.communicate()
    assert run.returncode == 128 + number, err
    assert "interrupted; what was found until then is in conformance.json" in err
    (found,) = read_reports([shell.directory / "conformance.json"])
    assert found.unfinished == "it was interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_run_that_does_not_end_when_interrupted_is_killed_when_interrupted_again(
    tmp_path: Path, shell: Shell
) -> None:
    reached = tmp_path / "reached"
    run = start(shell, HANGS, reached, "memory://{name}", "-k", "test_strict_priority")
    pid = int(reached.read_text())
    run.send_signal(signal.SIGINT)
    assert int(reached.read_text()) == pid
    run.send_signal(signal.SIGINT)
    _, err = run.communicate()
    assert run.returncode == 130, err
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_run_is_shown_though_a_backend_leaves_a_thread_that_never_ends(
    tmp_path: Path, shell: Shell
) -> None:
    (tmp_path / "leaves.py").write_text(LEAVES)
    shell.env |= {"PYTHONPATH": str(tmp_path), "PYTEST_PLUGINS": "leaves"}
    done = shell("conformance", "memory://{name}", "-k", "test_strict_priority")
    assert "threads that were left are not waited for: for-ever" in done.err
    assert "the contract is kept where it was run" in done.lines[-1]


def test_a_run_ends_with_its_command_and_leaves_nothing_behind(tmp_path: Path, shell: Shell) -> None:
    reached, temporary = tmp_path / "reached", tmp_path / "temporary"
    temporary.mkdir()
    shell.env["TMPDIR"] = str(temporary)
    run = start(shell, STOPS, reached, "json:///{tmp}/Queue.json", "-k", "test_processes_see_each_other")
    reached.read_text()
    assert list(temporary.iterdir()) != []
    run.kill()
    run.communicate()  # until nobody holds its streams: neither the run nor what its tests have started
    assert list(temporary.iterdir()) == []


def start(
    shell: Shell, plugin: str, reached: Path, *arguments: str, in_background: bool = False
) -> subprocess.Popen[str]:
    """Start a run in which a plugin says through a pipe where it is."""
    os.mkfifo(reached)
    (reached.parent / "stops.py").write_text(plugin)
    env = {
        **shell.env,
        "PYTHONPATH": str(reached.parent),
        "PYTEST_PLUGINS": "stops",
        "REACHED": str(reached),
    }
    here = commands.command("conformance", *arguments)
    return subprocess.Popen(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *here] if in_background else here,
        cwd=shell.directory,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
