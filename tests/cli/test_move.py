"""``move``; what it does with stores is tested in ``tests/transfer/test_moving.py``."""

from __future__ import annotations

import os
import signal

import pytest

from tests.transfer.conftest import Store, fences

from .conftest import Shell
from .test_terminal import terminal

pytestmark = pytest.mark.slow

OLD, NEW, LAST = "json:///Queue.json", "sqlite:///new.db", "json:///last.json"


def test_a_store_moves_and_says_what_was_moved(full: Shell) -> None:
    full("get")
    full("put", "4", "-q", "other")
    done = full("move", OLD, NEW)
    moved, other = done.lines
    assert moved.startswith("queue default: 2 tasks and 1 remembered id moved, the same at both ends, hash ")
    assert other.startswith("queue other: 1 task and 0 remembered ids moved, the same at both ends, hash ")
    assert done.err.splitlines() == [
        f"created {full.directory}/new.db",
        f"json:///{full.directory}/Queue.json is kept, fenced: whoever puts there is told to use "
        f"sqlite:///{full.directory}/new.db",
    ]
    assert full("get", "-n", "9", "-u", NEW).lines == ["2", "3"]
    assert [
        f"has moved to sqlite:///{full.directory}/new.db; use that URL" in full(*verb, code=4).err
        for verb in (("put", "5"), ("put", "5", "-q", "new"), ("get",), ("purge", "--yes"), ("pause",))
    ] == [True] * 5


def test_stats_tell_where_a_queue_went(full: Shell) -> None:
    full("move", OLD, NEW)
    assert f"moved to sqlite:///{full.directory}/new.db" in full("stats").out
    stats = full.stats()
    assert (stats["fence"], stats["fence_note"]) == ("moved", f"sqlite:///{full.directory}/new.db")
    assert full("stats", "-u", NEW, "--json").json["queues"][0]["fence"] == "none"


def test_moving_again_says_that_it_was_done_before(full: Shell) -> None:
    full("move", OLD, NEW)
    again = full("move", f"json:///../{full.directory.name}/Queue.json?lock_timeout=3", NEW)
    assert again.lines == [f"queue default was moved to sqlite:///{full.directory}/new.db before"]
    assert full("get", "-n", "9", "-u", NEW).lines == ["1", "2", "3"]


def test_a_move_back(full: Shell) -> None:
    full("move", OLD, NEW)
    full("get", "-u", NEW)
    full("put", "4", "-u", NEW)
    full("move", NEW, OLD)
    assert full("get", "-n", "9").lines == ["2", "3", "4"]


def test_queues_are_chosen(full: Shell) -> None:
    full("put", "4", "-q", "one")
    full("put", "5", "-q", "two")
    full("move", OLD, NEW, "-q", "one", "-q", "two")
    assert [each["queue"] for each in full("stats", "-u", NEW, "--json").json["queues"]] == ["one", "two"]
    full("put", "6")
    assert "no queue nope" in full("move", OLD, NEW, "-q", "nope", code=3).err


def test_the_source_is_emptied_if_that_is_wanted(full: Shell) -> None:
    done = full("move", OLD, NEW, "--empty")
    assert done.err.endswith(f"is empty, and says that its queues are at sqlite:///{full.directory}/new.db\n")
    assert full("peek", "--json").out == ""
    assert full("get", "-n", "9", "-u", NEW).lines == ["1", "2", "3"]


@pytest.mark.parametrize(("answer", "left"), [("y", ""), ("n", "1\n2\n3\n")])
def test_a_person_is_asked_whether_to_empty_it(full: Shell, answer: str, left: str) -> None:
    with terminal() as (own, other):
        child = full.start("move", OLD, NEW, stdin=other)
        os.write(own, f"{answer}\n".encode())
        out, err = child.communicate()
    assert child.returncode == 0
    assert "the same at both ends" in out
    assert f"Empty json:///{full.directory}/Queue.json?" in err
    tasks = full("peek", "--json").json_lines
    assert "".join(f"{task['data']}\n" for task in tasks) == left


def test_progress_is_shown_on_a_terminal(full: Shell) -> None:
    full("get", "--lease", "100")
    with terminal() as (own, other):
        child = full.start("move", OLD, NEW, stderr=other)
        seen = ""
        while "that are out" not in seen:
            seen += os.read(own, 65536).decode()
        child.send_signal(signal.SIGINT)
        while "interrupted" not in seen:
            seen += os.read(own, 65536).decode()
        assert child.wait() == 130
    assert "0/1" in seen


def test_an_interrupted_move_is_finished_or_taken_back(full: Shell) -> None:
    receipt = full("get", "--lease", "100").json["receipt"]
    child = full.start("move", OLD, NEW)
    store = Store(f"json:///{full.store}")
    assert child.stderr
    assert child.stderr.readline().startswith("created ")
    waits = child.stderr.readline()
    assert set(fences(store)) == {"default", "*"}
    store.broker.close()
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate()
    assert (child.returncode, out) == (143, "")
    assert waits == "wait for tasks of default that are out: 1; with --now they are taken along\n"
    assert "The same command finishes it" in err
    assert "is being moved to" in full("put", "4", code=4).err
    undone = full("move", OLD, NEW, "--undo")
    assert undone.lines == ["queue default is open again"]
    full("put", "4")
    full("ack", receipt)
    full("move", OLD, NEW)
    assert full("get", "-n", "9", "-u", NEW).lines == ["2", "3", "4"]
    assert "the other way round" in full("move", OLD, NEW, "--undo", code=4).err


def test_what_is_out_is_taken_along(full: Shell) -> None:
    receipt = full("get", "--lease", "100").json["receipt"]
    full("move", OLD, NEW, "--now")
    full("ack", receipt, code=4)
    full("ack", receipt, "-u", NEW)
    assert full("get", "-n", "9", "-u", NEW).lines == ["2", "3"]


def test_what_cannot_be_moved_is_refused(full: Shell) -> None:
    assert "cannot move to itself" in full("move", OLD, f"json:///{full.store}", code=4).err
    assert "no store at" in full("move", "json:///nothing.json", NEW, code=1).err
    assert not (full.directory / "new.db").exists()
    full("put", "7", "-u", LAST)
    assert "has tasks (1)" in full("move", OLD, LAST, code=4).err
    full("put", "4")
    assert "--undo" in full("move", OLD, NEW, "--undo", "--now", code=2).err


def test_what_is_promised_less_is_said(full: Shell) -> None:
    err = full("move", OLD, "sqlite:///new.db?dedup_window=9").err
    assert "promises less: it remembers ids for 9 s, the source for 300 s" in err


def test_nothing_moves_into_what_ends_with_the_command(full: Shell) -> None:
    for ends in ((OLD, "memory://x"), ("memory://x", NEW)):
        assert "ends with this command" in full("move", *ends, "--empty", code=4).err
    assert full.stats()["ready"] == 3


def test_a_source_is_not_emptied_if_the_destination_was_lost(full: Shell) -> None:
    full("move", OLD, NEW)
    for file in full.directory.glob("new.db*"):
        file.unlink()
    assert "the only one" in full("move", OLD, NEW, "--empty", code=4).err
    assert full.stats()["ready"] == 3
