"""Starting the command: by which names, and what it imports."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest

from distqueue.cli.errors import ExitCode
from distqueue.cli.main import main
from tests import commands

from .conftest import Shell

SLOW = {"rich", "asyncio", "aiofiles", "sqlite3"}

CODE = """
import sys
import typer
at_first = set(sys.modules)
from distqueue.cli.main import main
sys.argv = ["distqueue", *sys.argv[1:]]
main()
print(*{name.partition(".")[0] for name in sys.modules.keys() - at_first}, file=sys.stderr)
"""


def imported(shell: Shell, *arguments: str) -> set[str]:
    """Return the packages that a command has imported, besides those that typer cannot do without."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        cwd=shell.directory,
        env=shell.env,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def test_the_installed_command_is_this_one() -> None:
    (command,) = entry_points(group="console_scripts", name="distqueue")
    assert command.load() is main


def test_the_version_is_that_of_the_distribution(shell: Shell) -> None:
    assert shell("--version").out == f"distqueue {version('distqueue')}\n"


def test_without_a_verb_the_help_is_shown(shell: Shell) -> None:
    done = subprocess.run(commands.command(), env=shell.env, capture_output=True, text=True)
    assert done.returncode in (ExitCode.OK, ExitCode.USAGE)  # as typer's version has it
    assert "Usage: distqueue [OPTIONS] COMMAND" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["put", "1"], ["put", "1", "-u", "memory://"]])
def test_common_commands_import_nothing_slow(shell: Shell, arguments: list[str]) -> None:
    assert not SLOW & imported(shell, *arguments)


def test_an_export_does(shell: Shell) -> None:
    shell("put", "1")
    assert {"asyncio", "aiofiles"} <= imported(shell, "export", "out")
