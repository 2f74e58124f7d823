"""``top``: a store that is watched on a terminal, and looked at once elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from .conftest import Shell
from .screen import Terminal

pytestmark = pytest.mark.slow

KEYS = "q quit"


@pytest.fixture
def terminal(shell: Shell) -> Iterator[Terminal]:
    """A terminal."""
    made = Terminal(shell)
    yield made
    made.close()


@pytest.fixture
def store(full: Shell) -> Shell:
    """A shell whose store has three tasks in ``default``, and in ``emails`` two dead ones."""
    for name in ("first", "second"):
        full.bury(name, f"no route to {name}", {"task": "send", "args": {"to": name}}, "emails")
    return full


def start(terminal: Terminal, *options: str) -> subprocess.Popen[str]:
    """Start it, and wait until it takes keys."""
    child = terminal.start("top", "--interval", "0.1", *options)
    terminal.wait_for(KEYS)
    return child


def row(terminal: Terminal, queue: str) -> list[str]:
    """Return the counts that are shown of a queue."""
    (line,) = (line for line in terminal.lines if line[2:].startswith(queue))
    return line[2:].split()


def test_queues_are_shown_with_their_counts(store: Shell, terminal: Terminal) -> None:
    child = start(terminal)
    assert row(terminal, "default")[:5] == ["default", "3", "0", "0", "0"]
    assert row(terminal, "emails")[:5] == ["emails", "0", "0", "0", "2"]
    assert str(store.store) in terminal.lines[0]
    terminal.type("q")
    assert terminal.wait_end(child) == 0


def test_it_follows_what_happens(store: Shell, terminal: Terminal) -> None:
    child = start(terminal, "-q", "default")
    assert "emails" not in terminal.text
    store("put", "--quiet", stdin="4\n" * 1000)
    terminal.wait_for("1,003")
    terminal.wait_for("+")
    store("get", "-n", "900")
    terminal.wait_for(" 103 ")
    terminal.type("q")
    assert terminal.wait_end(child) == 0


def test_the_chosen_queue_is_paused_and_resumed(store: Shell, terminal: Terminal) -> None:
    child = start(terminal)
    terminal.wait_for("> default")
    terminal.type("j")
    terminal.wait_for("> emails", "- default")
    terminal.type("p")
    terminal.wait_for("emails (paused)", "queue emails is paused")
    assert store.stats("emails")["paused"] is True
    terminal.type("p")
    terminal.wait_for("queue emails is resumed")
    assert store.stats("emails")["paused"] is False
    terminal.type("\x1b[A")
    terminal.wait_for("> default")
    terminal.type("\x1b[B\x1b[B")
    terminal.wait_for("> emails")
    terminal.type("q")
    assert terminal.wait_end(child) == 0


def test_dead_tasks_are_redriven_once_that_is_confirmed(store: Shell, terminal: Terminal) -> None:
    child = start(terminal, "-q", "emails")
    terminal.type("r")
    terminal.wait_for("Make all dead tasks of queue emails ready again? y/n")
    terminal.type("n")
    terminal.wait_for("nothing was done")
    assert store.stats("emails")["dead"] == 2
    terminal.type("ry")
    terminal.wait_for("redriven: 2 tasks")
    assert store.stats("emails")["ready"] == 2
    terminal.type("q")
    assert terminal.wait_end(child) == 0


def test_dead_tasks_are_listed_and_removed_once_that_is_confirmed(store: Shell, terminal: Terminal) -> None:
    child = start(terminal)
    terminal.type("jd")
    terminal.wait_for("dead in emails", "> first", "- second", "no route to first", 'send(to="second")')
    terminal.type("jc")
    terminal.wait_for("Remove dead task second of queue emails? y/n")
    terminal.type("q")
    terminal.wait_for("nothing was done", "second")
    terminal.type("cy")
    terminal.wait_for("second is cancelled; it was dead")
    terminal.wait_until_gone("no route to second")
    assert [task["task_id"] for task in store("dead", "-q", "emails", "--json").json_lines] == ["first"]
    terminal.type("q")
    terminal.wait_for("> emails")
    terminal.type("q")
    assert terminal.wait_end(child) == 0


def test_a_refusal_is_said(store: Shell, terminal: Terminal) -> None:
    child = start(terminal, "-q", "emails")
    terminal.type("d")
    terminal.wait_for("> first")
    store("cancel", "first", "-q", "emails")
    terminal.type("cy")
    terminal.wait_for("there is no task first")
    terminal.type("qq")
    assert terminal.wait_end(child) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_left_as_it_was(store: Shell, terminal: Terminal, number: int) -> None:
    child = start(terminal)
    assert not terminal.is_as_before()
    child.send_signal(number)
    assert terminal.wait_end(child) == 128 + number
    assert terminal.is_as_before()


@pytest.fixture
def path() -> Iterator[str]:
    """Where a broker process can listen; a socket's path has to be short."""
    with tempfile.TemporaryDirectory(prefix="distqueue-") as directory:
        yield f"{directory}/socket"


def test_it_goes_on_when_a_broker_process_is_back(store: Shell, terminal: Terminal, path: str) -> None:
    served = serve(store, path)
    child = start(terminal, "-u", f"broker:///{path}")
    terminal.wait_for("> default")
    served.terminate()
    served.wait()
    terminal.wait_for("trying again")
    store("put", "4")
    served = serve(store, path)
    terminal.wait_until_gone("trying again")
    terminal.wait_for("> default")
    assert row(terminal, "default")[1] == "4"
    terminal.type("q")
    assert terminal.wait_end(child) == 0


def test_it_goes_on_when_a_file_is_back(store: Shell, terminal: Terminal) -> None:
    child = start(terminal)
    aside = store.store.with_name("aside")
    store.store.rename(aside)
    terminal.wait_for("trying again")
    aside.rename(store.store)
    terminal.wait_until_gone("trying again")
    terminal.type("q")
    assert terminal.wait_end(child) == 0


def serve(store: Shell, path: str) -> subprocess.Popen[str]:
    """Start a broker process, and return once it listens."""
    child = store.start("serve", "--socket", path)
    assert child.stderr
    assert child.stderr.readline().startswith("serving ")
    return child


def test_one_table_is_printed_into_a_pipe(store: Shell) -> None:
    lines = store("top").lines
    assert lines[0] == "queue\tready\tscheduled\tleased\tdead\tpaused\toldest ready"
    assert lines[2] == "emails\t0\t0\t0\t2\tFalse\t"
    assert lines[1].startswith("default\t3\t0\t0\t0\tFalse\t")
    assert len(store("top", "-q", "emails").lines) == 2


def test_one_table_is_printed_on_a_terminal_if_that_is_asked_for(store: Shell, terminal: Terminal) -> None:
    assert terminal.wait_end(terminal.start("top", "--once")) == 0
    assert "emails" in terminal.text
    assert b"\x1b[?1049h" not in terminal.seen


def test_a_store_that_is_not_there_is_not_made(shell: Shell, terminal: Terminal) -> None:
    assert "no store at" in shell("top", code=1).err
    assert terminal.wait_end(terminal.start("top")) == 1
    assert "no store at" in terminal.text
    assert not shell.store.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_z_gives_the_terminal_back_and_it_is_drawn_anew_then(store: Shell, terminal: Terminal) -> None:
    child = terminal.start("top", "--interval", "60", process_group=0)
    terminal.wait_for(KEYS)
    terminal.suspend(child)
    assert terminal.is_as_before()
    os.write(terminal.other, b"\x1b[2J")  # what a shell would show
    terminal.wait_until_gone(KEYS)
    child.send_signal(signal.SIGCONT)
    terminal.wait_for(KEYS, "emails")
    terminal.type("q")
    assert terminal.wait_end(child) == 0
    assert terminal.is_as_before()
