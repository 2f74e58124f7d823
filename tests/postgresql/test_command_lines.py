"""A password in a URL is on no command line but the user's own, as everybody on the machine can read them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from distqueue import App
from distqueue.urls import parse_url
from tests.cli.conftest import Shell
from tests.servers.postgresql import Server

pytestmark = pytest.mark.slow

WRITES_DOWN: Final = """
import os, sys
with open(os.environ["COMMAND_LINES"], "a") as file:
    print(sys.orig_argv, file=file)
del os.pidfd_open
"""
"""What each Python does first: it writes down how it was started, and sees to it that nothing is forked."""
APP: Final = """
import sys

from distqueue import App

app = App()

@app.task(name="work")
def work(n: int) -> None:
    print("worked on", n, "and read", repr(sys.stdin.read()))
"""


@pytest.fixture(name="postgres_url")
def _postgres_url(own_postgres: Server) -> str:
    """The URL of a server that is told a password, which the tests of somebody's may lack."""
    return own_postgres.url


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell whose Pythons write down how they were started."""
    shell = Shell(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(WRITES_DOWN)
    shell.env |= {"PYTHONPATH": str(tmp_path), "COMMAND_LINES": f"{tmp_path}/lines"}
    yield shell
    shell.close()


def check(shell: Shell, url: str, others: int) -> None:
    """Check that at least so many processes were started beside the first one, which alone was told a URL."""
    password = parse_url(url).password
    assert password
    _, *lines = Path(shell.env["COMMAND_LINES"]).read_text().splitlines()
    assert len(lines) >= others
    assert [line for line in lines if password in line] == []


def test_of_the_suite(shell: Shell, postgres_url: str) -> None:
    url = f"{postgres_url}?schema={{name}}"
    done = shell("conformance", url, "--quick", "-k", "test_processes_see_each_other")
    assert done.lines[-1].startswith("the contract is kept where it was run; ")
    check(shell, url, others=2)
    report = (shell.directory / "conformance.json").read_text()
    assert "postgresql://postgres:***@" in report
    assert str(parse_url(postgres_url).password) not in report + done.out + done.err


def test_of_a_campaign(shell: Shell, url: str) -> None:
    crew = ("--kills", "2", "--publishers", "1", "--consumers", "1", "--gap", "0.01")
    command = (sys.executable, "-m", "distqueue.conformance.campaign", url, *crew)
    done = subprocess.run(command, cwd=shell.directory, env=shell.env, capture_output=True, check=True)
    check(shell, url, others=4)
    assert str(parse_url(url).password).encode() not in done.stdout


def test_of_a_worker(shell: Shell, url: str) -> None:
    (shell.directory / "shop.py").write_text(APP)
    app = App(url)

    @app.task(name="work")
    def work(n: int) -> None:
        raise AssertionError("it is the other process that works")

    work.enqueue(7)
    app.close()
    done = shell("work", "shop:app", "-u", url, "--burst")
    assert "worked on 7 and read ''" in done.out  # nor can a handler read it
    check(shell, url, others=1)
