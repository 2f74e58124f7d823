"""Every exit code, and the one line that goes with it."""

from __future__ import annotations

import re

import pytest

from distqueue.cli.errors import EXIT_CODES, ExitCode, exit_code_of
from distqueue.errors import AckTimeout, DistqueueError, LeaseLost, StoreDamaged, StoreFull, TaskNotFound
from distqueue_backends.lock import StoreLock

from .conftest import Shell

PLUGIN = """
from distqueue.errors import OutcomeUnknown
from distqueue.plugins import BackendSpec, hookimpl
from distqueue_backends.memory import MEMORY_CAPABILITIES, MemoryBackend, MemoryOptions

class Broken(MemoryBackend):
    def apply(self, commands):
        super().apply(commands)
        raise OutcomeUnknown("the connection broke")

@hookimpl
def distqueue_backends():
    yield BackendSpec(schemes=("broken",), load="broken_plugin:Broken", contract="1", summary="",
                      capabilities=MEMORY_CAPABILITIES, options=MemoryOptions)
"""


def test_done_is_0(shell: Shell) -> None:
    shell("put", "1", code=ExitCode.OK)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stats"], "no store at"),
        (["stats", "-u", "nope://"], "no backend for nope: URLs"),
        (["stats", "-u", "Queue.json"], "write json:///Queue.json"),
        (["stats", "-u", "json:///Queue.json?lock_timeuot=1"], "did you mean 'lock_timeout'?"),
        (["put", "1", "-u", "json:///no/such/directory/Queue.json"], "there is no directory"),
        (["import", "nope.jsonl"], "nope.jsonl cannot be read: No such file or directory"),
    ],
)
def test_a_store_that_cannot_be_used_is_1(shell: Shell, arguments: list[str], said: str) -> None:
    err = shell(*arguments, code=ExitCode.ERROR).err
    assert said in err
    assert err.startswith("distqueue: ")
    assert err.count("\n") == 1


def test_no_store_named_is_1(shell: Shell) -> None:
    assert "no store is named" in shell("stats", code=ExitCode.ERROR, DISTQUEUE_URL="").err


@pytest.mark.parametrize("arguments", [["nope"], ["put", "--nope"], ["show"], ["get", "--count", "0"]])
def test_a_wrong_command_line_is_2(shell: Shell, arguments: list[str]) -> None:
    assert "Usage: distqueue" in shell(*arguments, code=ExitCode.USAGE).err


def test_nothing_there_is_3(full: Shell) -> None:
    for arguments in (["get", "-q", "other"], ["show", "it"], ["cancel", "it"], ["redrive", "it"]):
        full(*arguments, code=ExitCode.NOTHING)


@pytest.mark.parametrize(
    "arguments",
    [
        ["put", "{bad"],
        ["put", "1", "--priority", "99"],
        ["put", "1", "-q", "Bad Name"],
        ["put", "1", "--delay", "-1"],
        ["put", "2", "--id", "it"],
        ["put", "2", "--unique", "key"],
        ["get", "--lease", "0"],
        ["ack", "nonsense"],
        ["pause", "-q", "../up"],
        ["top", "--interval", "nan"],
        ["work", "shop:app", "--grace", "nan"],
        ["bench", "--seconds", "nan"],
    ],
)
def test_refused_is_4(shell: Shell, arguments: list[str]) -> None:
    shell.line("put 1 --id it --unique key")
    done = shell(*arguments, code=ExitCode.REFUSED)
    assert done.out == ""
    assert re.fullmatch(r"distqueue: [^\n]+\n", done.err)


def test_an_unknown_outcome_is_5_and_names_what_to_repeat(shell: Shell) -> None:
    info = shell.directory / "broken-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    info.joinpath("entry_points.txt").write_text("[distqueue.backends]\nbroken = broken_plugin\n")
    shell.directory.joinpath("broken_plugin.py").write_text(PLUGIN)
    path = f"{shell.directory}:{shell.env.get('PYTHONPATH', '')}"
    done = shell("put", "1", "-u", "broken://", code=ExitCode.UNKNOWN, PYTHONPATH=path)
    assert re.search(r"the connection broke. Its id is [0-9a-f-]{36} \(--id\)", done.err)
    lines = shell("put", "-u", "broken://", stdin="1\n2\n", code=ExitCode.UNKNOWN, PYTHONPATH=path)
    assert "lines 1 to 2: the connection broke" in lines.err


def test_a_busy_store_is_6(full: Shell) -> None:
    lock = StoreLock(f"{full.store}.lock", 10)
    try:
        with lock:
            done = full("get", "-u", "json:///Queue.json?lock_timeout=0.1", code=ExitCode.BUSY)
    finally:
        lock.close()
    assert done.err.startswith("distqueue: ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskNotFound("x"), ExitCode.NOTHING),
        (LeaseLost("x"), ExitCode.REFUSED),
        (StoreFull("x"), ExitCode.REFUSED),
        (AckTimeout("x"), ExitCode.UNKNOWN),
        (StoreDamaged("x"), ExitCode.ERROR),
        (OSError("x"), ExitCode.ERROR),
    ],
)
def test_each_kind_of_error_has_its_code(error: Exception, code: ExitCode) -> None:
    assert exit_code_of(error) is code


def test_the_help_ends_with_the_exit_codes(shell: Shell) -> None:
    help_text = " ".join(shell("--help").out.split())
    assert help_text.endswith(EXIT_CODES)
    for code in ExitCode:
        assert re.search(rf"[:;] {code} ", EXIT_CODES)


def test_the_traceback_is_shown_only_when_debugging(shell: Shell) -> None:
    assert "Traceback" in shell("stats", code=1, DISTQUEUE_DEBUG="1").err
    assert "Traceback" not in shell("stats", code=1, DISTQUEUE_DEBUG="0").err
    assert issubclass(StoreDamaged, DistqueueError)
