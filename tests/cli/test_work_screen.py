"""What ``work`` shows on a terminal while it works, and what it logs elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Shell
from .screen import Terminal

pytestmark = pytest.mark.slow

APP = '''
import sys
from distqueue import App

app = App()

@app.task
def hold(name):
    """Run until somebody writes into this pipe."""
    open(name).close()

@app.task
def fail(why):
    raise ValueError(why)

@app.task
def say(number):
    print("out of", number, "is a line")
    print("err of", number, "is a line", file=sys.stderr)
    sys.stdout.write("half a line of %s, " % number)
    sys.stdout.flush()
    sys.stdout.write("and the rest of it\\n")

@app.task
def end(text):
    sys.stdout.write(text)
'''


@pytest.fixture
def shop(shell: Shell) -> Shell:
    """A shell in a directory with an app, whose store is there."""
    (shell.directory / "shop.py").write_text(APP)
    shell("put", "0", "-q", "other")
    return shell


@pytest.fixture
def terminal(shop: Shell) -> Iterator[Terminal]:
    """A terminal."""
    made = Terminal(shop)
    yield made
    made.close()


def enqueue(shop: Shell, task: str, *values: object, **options: str) -> list[str]:
    """Enqueue a call for each value, and return the ids."""
    name = {"hold": "name", "fail": "why", "say": "number", "end": "text"}[task]
    calls = "".join(json.dumps({"task": task, "args": {name: value}}) + "\n" for value in values)
    return shop("put", *(f"--{key}={value}" for key, value in options.items()), stdin=calls).lines


def held(shop: Shell, name: str) -> Path:
    """Make a pipe, and enqueue a task that runs until it is written to."""
    os.mkfifo(shop.directory / name)
    enqueue(shop, "hold", name)
    return shop.directory / name


def start(terminal: Terminal, *options: str) -> subprocess.Popen[str]:
    return terminal.start("work", "shop:app", *options)


def test_it_shows_what_runs_where_and_how_much_is_done(shop: Shell, terminal: Terminal) -> None:
    enqueue(shop, "say", 1, 2)
    pipe = held(shop, "pipe")
    (waiting,) = enqueue(shop, "hold", "never", delay="1000")
    task_id = shop("peek", "--json").json_lines[-1]["task_id"]
    child = start(terminal)
    terminal.wait_for("1 of 8 running", "done 2 ", "failed 0 ", "default", "ready", "scheduled")
    (row,) = (line for line in terminal.lines if task_id in line)
    assert row.split()[:3] == ["hold", task_id, "1"]
    assert waiting not in terminal.text
    pipe.write_text("")
    terminal.wait_for("0 of 8 running", "done 3 ")
    assert terminal.interrupt(child) == 0
    assert terminal.lines[-1] == "3 done"


def test_a_worker_that_stops_says_what_it_waits_for(shop: Shell, terminal: Terminal) -> None:
    held(shop, "pipe")
    child = start(terminal)
    terminal.wait_for("1 of 8 running")
    child.send_signal(signal.SIGINT)
    terminal.wait_for("stopping when they have ended")
    child.send_signal(signal.SIGINT)
    assert terminal.wait_end(child) == 7


def test_what_handlers_print_stands_above_in_whole_lines(shop: Shell, terminal: Terminal) -> None:
    held(shop, "pipe")
    child = start(terminal, "--processes", "3", "--concurrency", "3")
    terminal.wait_for("1 of 3 running")
    enqueue(shop, "say", *range(5))
    said = [f"{stream} of {number} is a line" for stream in ("out", "err") for number in range(5)]
    said += [f"half a line of {number}, and the rest of it" for number in range(5)]
    terminal.wait_for("done 5 ", "1 of 3 running", *said)
    screen_begins = next(at for at, line in enumerate(terminal.lines) if line.startswith("shop:app"))
    assert sorted(terminal.lines[:screen_begins]) == sorted(said)
    child.kill()
    terminal.wait_end(child)


def test_what_is_printed_in_the_end_is_not_lost(shop: Shell, terminal: Terminal) -> None:
    enqueue(shop, "say", *range(10))
    enqueue(shop, "end", "no line break")
    assert terminal.wait_end(start(terminal, "--burst", "--concurrency", "1")) == 0
    assert sum("is a line" in line for line in terminal.lines) == 20
    assert terminal.lines[-2:] == ["no line break", "11 done"]


def test_output_that_goes_elsewhere_still_does(shop: Shell, terminal: Terminal) -> None:
    enqueue(shop, "say", 1)
    child = terminal.start("work", "shop:app", "--burst", stdout=subprocess.PIPE)
    assert terminal.wait_end(child) == 0
    assert child.stdout
    assert child.stdout.read() == "out of 1 is a line\nhalf a line of 1, and the rest of it\n"
    assert "out of 1" not in terminal.text
    assert "err of 1 is a line" in terminal.lines


def test_failures_are_listed_and_their_tracebacks_stand_above(shop: Shell, terminal: Terminal) -> None:
    ids = enqueue(shop, "fail", "no [red]route[/red]", "\x1b[31mtwo\nlines", **{"max-attempts": "1"})
    child = start(terminal)
    errors = ["ValueError: no [red]route[/red]", r"ValueError: \x1b[31mtwo"]
    shown = [f"fail   {task_id}" for task_id in ids]
    terminal.wait_for("failed 2 ", "dead 2 ", *shown, *errors)
    rows = [line.split(maxsplit=4) for line in terminal.lines if line[2:3] == ":" and " fail " in line]
    assert sorted(row[2] for row in rows) == sorted(ids)
    assert sorted(row[4] for row in rows) == [
        r"ValueError: \x1b[31mtwo",
        "ValueError: no [red]route[/red]",
    ]
    assert sum("raise ValueError" in line for line in terminal.lines) == 2
    assert b"\x1b[31mtwo" not in terminal.seen
    assert terminal.interrupt(child) == 0
    assert terminal.lines[-1] == "0 done, 2 failed, 2 dead"


def test_the_terminal_is_left_as_it_was(shop: Shell, terminal: Terminal) -> None:
    child = start(terminal)
    terminal.wait_for("0 of 8 running")
    assert not terminal.is_as_before()
    assert terminal.interrupt(child) == 0
    assert terminal.is_as_before()
    assert terminal.lines == ["0 done"]


def test_a_worker_that_cannot_begin_leaves_only_what_it_says(shop: Shell, terminal: Terminal) -> None:
    child = terminal.start("work", "shop:nothing")
    assert terminal.wait_end(child) == 1
    assert terminal.is_as_before()
    assert " ".join(terminal.lines).startswith("distqueue: shop has no 'nothing'")


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["--plain"], {}),
        (["--log-format", "text"], {}),
        ([], {"NO_COLOR": "1"}),
        ([], {"TERM": "dumb"}),
    ],
    ids=["plain", "log-format", "no-color", "dumb"],
)
def test_log_lines_are_all_there_is_for_whoever_wants_no_screen(
    shop: Shell, terminal: Terminal, options: list[str], env: dict[str, str]
) -> None:
    shop.env |= env
    (task_id,) = enqueue(shop, "say", 1)
    assert terminal.wait_end(start(terminal, "--burst", *options)) == 0
    assert b"\x1b" not in terminal.seen
    assert f"INFO task {task_id} (say) done" in terminal.text


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_z_gives_the_terminal_back_and_it_is_drawn_anew_then(shop: Shell, terminal: Terminal) -> None:
    pipe = held(shop, "pipe")
    child = terminal.start("work", "shop:app", process_group=0)
    terminal.wait_for("1 of 8 running")
    terminal.suspend(child)
    assert terminal.is_as_before()
    terminal.wait_until_gone("of 8 running")
    os.write(terminal.other, b"[1]+  Stopped\r\n$ fg\r\n")
    child.send_signal(signal.SIGCONT)
    terminal.wait_for("Stopped", "$ fg", "1 of 8 running")
    pipe.write_text("")
    terminal.wait_for("done 1 ")
    assert terminal.interrupt(child) == 0
    assert terminal.is_as_before()
