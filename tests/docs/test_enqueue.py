"""The page on enqueueing: its program runs as printed, and its tables have every option."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distqueue import App, PutOptions, TaskFunction
from distqueue.app.function import EnqueueOptions
from tests.docs.pages import ROOT, files, links, page

PAGE = page("docs/howto/enqueue.md")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the files of the page."""
    for name, text in files(PAGE).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(*arguments: str, directory: Path) -> str:
    """Run Python there; warnings are errors."""
    command = [sys.executable, "-W", "error", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DISTQUEUE_")}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def options_of(section: str) -> list[set[str]]:
    """Return the first column of each table below a heading."""
    tables = re.split(r"\n\n", PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0])
    rows = [set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) for table in tables]
    return [names for names in rows if names]


def test_the_programs_enqueue_and_a_worker_runs_it(project: Path) -> None:
    said = run("front.py", directory=project).splitlines()
    assert said[0] == "False"
    assert said[1].startswith("send_receipt: ")
    assert said[2:] == ["is on its way already: True"]
    printed = run("-m", "distqueue", "work", "shop:app", "--burst", directory=project)
    plates = ["plate: -1"] * 3
    others = ["9.90 paid, a@example.org", "all: +0", "cup: -1", "pot: +3", "spoon: +12"]
    assert sorted(filter(None, printed.splitlines())) == sorted(others + plates)


def test_its_tables_have_every_option() -> None:
    of_handler, of_task = options_of("Options")
    assert of_task == PutOptions.__annotations__.keys() | EnqueueOptions.__annotations__.keys()
    known = inspect.signature(App._register).parameters.keys() - {"self", "function", "options"}
    assert of_handler == known


def test_its_calls_and_links_are_there() -> None:
    for name in re.findall(r"`(?:await )?f\.(\w+)\(", PAGE):
        assert hasattr(TaskFunction, name), name
    for link in links(PAGE):
        assert (ROOT / "docs/howto" / link).is_file(), link
