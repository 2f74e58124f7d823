"""``distqueue get``: what is printed, when it is acked, and when it is given back."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import time

import pytest

from distqueue.commands import Find
from distqueue.opening import open_broker
from distqueue.outcomes import expect
from distqueue.results import Found
from distqueue.task import TaskRecord
from tests import commands

from .conftest import Shell


def find(shell: Shell, task_id: str) -> TaskRecord | None:
    """Look a task up in this process."""
    broker = open_broker(f"json:///{shell.store}", create=False)
    try:
        return expect(broker.apply([Find(queue="default", task_id=task_id)])[0], Found).task
    finally:
        broker.close()


def test_a_task_is_printed_as_it_was_put_and_acked(shell: Shell) -> None:
    shell("put", '{"to":  "ä"}')
    assert shell("get").out == '{"to":  "ä"}\n'
    stats = shell.stats()
    assert (stats["ready"], stats["leased"], stats["remembered"]) == (0, 0, 1)


def test_nothing_there_has_an_exit_code_of_its_own(full: Shell) -> None:
    assert full("get", "-q", "other", code=3).out == ""


def test_up_to_count_tasks_are_printed_in_order(full: Shell) -> None:
    assert full("get", "--count", "2").out == "1\n2\n"
    assert full("get", "--count", "2").out == "3\n"


def test_a_time_that_is_no_number_is_not_waited_for(full: Shell) -> None:
    assert "--wait is nan s; use a number" in full("get", "-q", "other", "--wait", "nan", code=4).err


def test_waiting_ends_after_its_time_or_with_a_task(full: Shell) -> None:
    began = time.monotonic()
    full("get", "-q", "other", "--wait", "0.3", code=3)
    assert time.monotonic() - began >= 0.3
    child = full.start("get", "--wait", "60", "-q", "other")
    full("put", "4", "-q", "other")
    assert child.communicate()[0] == "4\n"
    assert child.returncode == 0


def test_with_a_lease_the_receipt_is_printed_and_nothing_acked(full: Shell) -> None:
    handed = full("get", "--lease", "60").json
    assert list(handed) == ["task_id", "data", "receipt", "attempt"]
    assert (handed["data"], handed["attempt"]) == (1, 1)
    task = full("show", handed["task_id"], "--json").json
    assert (task["state"], task["receipt"]) == ("leased", handed["receipt"])
    assert task["until"] - time.time() == pytest.approx(60, abs=30)


def test_json_has_everything_about_the_delivery(shell: Shell) -> None:
    shell.line("put 1 --id it --priority 3 --group g --header a=b --publisher-id me")
    got = shell("get", "--json").json
    assert got.pop("receipt").endswith(".it")
    assert got.pop("until") > got.pop("put_at")
    assert got == {
        "task_id": "it",
        "queue": "default",
        "data": 1,
        "attempt": 1,
        "deliveries": 1,
        "priority": 3,
        "max_attempts": 5,
        "group": "g",
        "publisher_id": "me",
        "headers": {"a": "b"},
    }
    assert shell.stats()["leased"] == 0


def test_a_task_that_cannot_be_written_is_given_back(shell: Shell) -> None:
    shell("put", "1", "--id", "it")
    reader, writer = os.pipe()
    os.close(reader)
    child = shell.start("get", "--count", "5", stdout=writer)
    os.close(writer)
    _, err = child.communicate()
    assert child.returncode == 1
    assert "the task is given back" in err
    task = shell("show", "it", "--json").json
    assert (task["state"], task["attempt"], task["deliveries"]) == ("ready", 1, 1)


def test_a_full_disk_below_the_output_gives_the_task_back(shell: Shell) -> None:
    shell("put", "1")
    with open("/dev/full", "w") as full_disk:
        child = shell.start("get", stdout=full_disk)
        _, err = child.communicate()
    assert child.returncode == 1
    assert "No space left on device" in err
    assert shell.stats()["ready"] == 1


def test_a_closed_output_gets_nothing(full: Shell) -> None:
    line = " ".join(commands.command("get")) + " >&-"
    done = subprocess.run(
        ["sh", "-c", line], cwd=full.directory, env=full.env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "the standard output is closed" in done.stderr
    assert full.stats()["ready"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_prints_what_comes_until_a_signal_ends_it_well(shell: Shell, number: int) -> None:
    shell("put", "1")
    child = shell.start("get", "--follow")
    assert child.stdout
    assert child.stdout.readline() == "1\n"
    shell("put", "2")
    assert child.stdout.readline() == "2\n"
    child.send_signal(number)
    assert child.communicate() == ("", "")
    assert child.returncode == 0
    assert shell.stats()["leased"] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_wait(shell: Shell, number: int, code: int) -> None:
    shell("put", "1")
    child = shell.start("get", "--count", "2", "--wait", "60")
    assert child.stdout
    assert child.stdout.readline() == "1\n"
    child.send_signal(number)
    assert child.communicate() == ("", "")
    assert child.returncode == code


def test_following_ends_at_the_count(full: Shell) -> None:
    assert full("get", "--follow", "--count", "3").out == "1\n2\n3\n"


class Unread:
    """A ``get`` whose line does not fit into the pipe, and of which only the beginning was read."""

    def __init__(self, shell: Shell) -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        self.child = shell.start("get", stdout=writer)
        os.close(writer)
        select.select([self.reader], [], [])

    def read_all(self) -> bytes:
        """Read the line to its end."""
        with open(self.reader, "rb") as file:
            return file.read()


def test_the_lease_is_renewed_while_the_reader_takes_its_time(shell: Shell) -> None:
    (shell.directory / "distqueue.toml").write_text("[defaults]\nlease = 0.5\n")
    line = '"' + "x" * 100_000 + '"\n'
    shell("put", "--id", "it", line)
    unread = Unread(shell)
    first = find(shell, "it")
    while (task := find(shell, "it")) and first and task.until == first.until:
        time.sleep(0.01)
    assert task
    assert (task.state, task.deliveries) == ("leased", 1)
    assert unread.read_all().decode() == line
    assert unread.child.wait() == 0
    assert find(shell, "it") is None


def test_an_interrupted_write_gives_the_task_back(shell: Shell) -> None:
    shell("put", "--id", "it", '"' + "x" * 100_000 + '"')
    unread = Unread(shell)
    unread.child.send_signal(signal.SIGTERM)
    assert unread.child.wait() == 143
    os.close(unread.reader)
    task = find(shell, "it")
    assert task
    assert (task.state, task.attempt) == ("ready", 1)


def test_a_task_cancelled_while_it_is_written_is_told(shell: Shell) -> None:
    shell("put", "--id", "it", '"' + "x" * 100_000 + '"')
    unread = Unread(shell)
    shell("cancel", "it")
    unread.read_all()
    assert unread.child.stderr
    assert "could not be acked" in unread.child.stderr.read()
    assert unread.child.wait() == 4


def test_two_consumers_share_the_tasks(shell: Shell) -> None:
    shell("put", "--quiet", stdin="".join(f"{n}\n" for n in range(60)))
    children = [shell.start("get", "--follow", "--count", "30") for _ in range(2)]
    got = [[int(line) for line in child.communicate()[0].splitlines()] for child in children]
    assert sorted(got[0] + got[1]) == list(range(60))
    assert all(each == sorted(each) for each in got)
