"""What a person sees on a terminal, and what a pipe gets instead."""

from __future__ import annotations

import os
import pty
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .conftest import Shell

COLOUR = re.compile(r"\x1b\[(?:\d+;)*3\d")


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Open a terminal; its own end, and the end that a command gets."""
    own, other = pty.openpty()
    try:
        yield own, other
    finally:
        os.close(own)
        os.close(other)


def on_terminal(shell: Shell, *arguments: str, code: int = 0) -> str:
    """Run a command on a terminal and return what appears there."""
    with terminal() as (own, other):
        child = shell.start(*arguments, stdin=other, stdout=other, stderr=other)
        assert child.wait() == code
        os.write(other, b"\x04END")
        seen = b""
        while not seen.endswith(b"END"):
            seen += os.read(own, 65536)
    return seen.decode().removesuffix("\x04END")


def test_a_table_has_a_rule_on_a_terminal_and_tabs_in_a_pipe(full: Shell) -> None:
    assert "───" in on_terminal(full, "peek")
    out = full("peek").out
    assert "─" not in out
    assert "\t" in out


@pytest.mark.parametrize("arguments", [["--help"], ["peek"], ["stats"], ["backends"], ["put", "--help"]])
def test_nothing_that_steers_a_terminal_reaches_a_pipe(full: Shell, arguments: list[str]) -> None:
    assert "\x1b" not in full(*arguments).out


def test_errors_in_a_pipe_are_plain(shell: Shell) -> None:
    assert "\x1b" not in shell("nope", code=2).err
    assert "─" not in shell("nope", code=2).err


def test_no_color_is_respected(full: Shell) -> None:
    assert COLOUR.search(on_terminal(full, "--help"))
    full.env["NO_COLOR"] = "1"
    for arguments in (["--help"], ["peek"]):
        assert not COLOUR.search(on_terminal(full, *arguments))


def test_markup_in_a_task_is_not_interpreted(shell: Shell) -> None:
    shell("put", '"[red]x[/red]"')
    assert '"[red]x[/red]"' in on_terminal(shell, "peek")


def test_a_purge_asks_a_person(full: Shell) -> None:
    with terminal() as (own, other):
        child = full.start("purge", stdin=other)
        os.write(own, b"n\n")
        assert "Remove all tasks" in child.communicate()[1]
        assert child.returncode == 1
    assert full.stats()["ready"] == 3
    with terminal() as (own, other):
        child = full.start("purge", stdin=other)
        os.write(own, b"y\n")
        assert child.communicate()[0].endswith("purged: 3 tasks\n")


def test_lines_typed_on_a_terminal_are_put(shell: Shell) -> None:
    with terminal() as (own, other):
        child = shell.start("put", stdin=other)
        os.write(own, b"1\n\x04")
        out, err = child.communicate()
    assert len(out.splitlines()) == 1
    assert "Ctrl-D ends" in err


def test_progress_is_shown_on_a_terminal_only(full: Shell) -> None:
    with terminal() as (own, other):
        child = full.start("export", stderr=other)
        assert child.stdout
        assert child.stdout.read()
        assert child.wait() == 0
        seen = os.read(own, 65536).decode()
    assert "export" in seen
    assert "━" in seen
    assert full("export").err == "exported 3 tasks and 0 remembered ids\n"
