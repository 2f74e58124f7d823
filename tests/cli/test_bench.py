"""``bench`` touches nobody's data, leaves nothing behind, and says what is wrong with its options."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

from .conftest import URL, Shell

pytestmark = pytest.mark.slow

QUICK = ("--seconds", "0.1", "--size", "64")
LONG = ("bench", "-u", URL, "--seconds", "600", "--batch", "1", "--processes", "2+2")


def files(directory: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def test_what_is_in_the_store_stays_as_it_is(full: Shell) -> None:
    before = files(full.directory)
    done = full("bench", "-u", URL, *QUICK, "--batch", "1")
    assert files(full.directory) == before
    assert f"new directories in {full.directory}" in done.err
    columns, *rows = [line.split("\t") for line in done.lines]
    assert [row[columns.index("measure")] for row in rows] == ["put", "get and ack", "wake-up"]
    assert {row[columns.index("durability")] for row in rows} == {"fsync"}


def test_without_a_url_json_and_sqlite_are_compared_here(shell: Shell) -> None:
    found = shell("bench", *QUICK, "--batch", "3", "--json").json
    assert [each["store"] for each in found["measures"]] == ["json:///Queue.json", "sqlite:///jobs.db"] * 3
    assert found["versions"].keys() == {"distqueue", "python", "sqlite"}
    assert list(shell.directory.iterdir()) == []


def test_processes_limits_and_a_plot(shell: Shell) -> None:
    done = shell("bench", "-u", URL, *QUICK, "--batch", "1", "--processes", "2+1", "--raw", "--plot", "p.svg")
    columns, *rows = [line.split("\t") for line in done.lines]
    counts = [row[columns.index("lost") :] for row in rows if row[columns.index("processes")] == "2+1"]
    assert counts == [["0", "0", "0"]] * 2
    assert sum(row[columns.index("store")] == "" for row in rows) == 3
    assert [file.name for file in shell.directory.iterdir()] == ["p.svg"]
    ElementTree.parse(shell.directory / "p.svg")  # noqa: S314 - it is our own


def test_what_a_store_cannot_do_is_said(shell: Shell) -> None:
    done = shell("bench", "-u", "memory://", *QUICK, "--batch", "1")
    assert "left out: memory://: not with 1+1 processes, 1 a call: processes cannot share it" in done.err


def test_a_sync_that_costs_nothing_is_said(shell: Shell) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no file system in memory here")
    done = shell("bench", "-u", "json:////dev/shm/Queue.json", *QUICK, "--batch", "1")
    assert "/dev/shm is in memory, where a sync costs nothing" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--processes", "0"], 2, "publishers+consumers, such as 4+2"),
        (["--processes", "2+0"], 2, "publishers+consumers, such as 4+2"),
        (["--size", "31"], 2, "31 is not in 32..1,048,576"),
        (["--batch", "0"], 2, "0 is not in 1..10,000"),
        (["--batch", "7", "--batch", "7"], 2, "a value is given twice"),
        (["--size", "1048576", "--batch", "100"], 2, "67,108,864 bytes at most"),
        (["--seconds", "0"], 2, "seconds"),
        (["-u", URL, "-u", URL], 2, "a URL is given twice"),
        (["-u", "jsn:///q"], 1, "json"),
        (["-u", "json:///nowhere/q.json"], 1, "create it, or name another path"),
        (["-u", "json:///q.json?no_such=1"], 1, "no_such"),
        (["--plot", "nowhere/p.svg"], 1, "not a directory to write into"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(
    shell: Shell, arguments: list[str], code: int, says: str
) -> None:
    done = shell("bench", *arguments, code=code)
    said = " ".join(done.err.replace("│", " ").split())
    assert says in said
    assert list(shell.directory.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(shell: Shell, number: signal.Signals) -> None:
    child = shell.start(*LONG, start_new_session=True)
    wait_until(lambda: put_by_all(shell))
    for worker in set(members(child.pid)) - {child.pid}:
        os.kill(worker, number)  # as a terminal does; to end them is for their parent
    before = put_by_all(shell)
    wait_until(lambda: put_by_all(shell) > before)
    assert len(members(child.pid)) == 5
    child.send_signal(number)
    _, complaints = child.communicate(timeout=30)
    assert child.returncode == 128 + number
    assert "Traceback" not in complaints
    wait_until(lambda: members(child.pid) == [])
    assert list(shell.directory.iterdir()) == []


def test_killed_it_leaves_no_process(shell: Shell) -> None:
    child = shell.start(*LONG, start_new_session=True)
    wait_until(lambda: put_by_all(shell))
    child.kill()
    child.wait()
    wait_until(lambda: members(child.pid) == [])


def put_by_all(shell: Shell) -> int:
    """Return how many tasks each of the two publishers has put at least, by what is in the store's file."""
    commits = b""
    for store in shell.directory.glob("distqueue-bench-*/Queue.json"):
        with suppress(FileNotFoundError):  # a round is over, and its store is gone
            commits += store.read_bytes()
    return min(commits.count(b'"who":0,'), commits.count(b'"who":1,'))


def members(group: int) -> list[int]:
    """Return the living processes of a process group, but for the one of multiprocessing's own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, of_group, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if int(of_group) == group and state != "Z" and "resource_tracker" not in command:
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something has happened outside this process, which sends no event."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
