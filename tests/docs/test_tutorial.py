"""The tutorial, by the letter: its files are written, its commands run, and they print what it prints."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.pages import ROOT, links, page

PAGE = page("docs/tutorial.md")
TASK_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Block(NamedTuple):
    """A block of code on the page: the comment before it, its language and what is in it."""

    note: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    """Give out the blocks of the page in its order."""
    found = re.findall(r"(?:<!-- ([^\n]+) -->\n)?```(\w+)\n(.*?)```", PAGE, re.DOTALL)
    return (Block(*each) for each in found if each[1] != "sh")


class Reader:
    """Somebody who follows the page in an empty directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ids: dict[str, str] = {}
        """The task ids on the page, and those that they are here."""
        bin_directory = os.path.dirname(sys.executable)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("DISTQUEUE_")}
        self.env |= {"PATH": f"{bin_directory}:{os.environ['PATH']}", "PYTHONWARNINGS": "error"}
        self._worker: subprocess.Popen[str] | None = None
        self._expected = ""

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        match block:
            case Block("second terminal", "console", text):
                command, self._expected = text.removeprefix("$ ").split("\n", 1)
                self._worker = self._started(command)
            case Block(_, "console", text):
                for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                    command, expected = step.split("\n", 1)
                    self._run(command, expected)
                self.end()
            case Block(name, _, text):
                (self.directory / name).write_text(text)

    def end(self) -> None:
        """Wait until the worker in the second terminal has said what it is to say, and press Ctrl-C there."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        with worker:
            assert worker.stdout is not None
            said = ""
            while not self._fits(self._expected, said):
                line = worker.stdout.readline()
                assert line, said
                said += line
            worker.send_signal(signal.SIGINT)
            worker.communicate(timeout=30)
        assert worker.returncode == 0

    def close(self) -> None:
        """End what is left."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()

    def _run(self, command: str, expected: str) -> None:
        for printed, here in self.ids.items():
            command = command.replace(printed, here)
        shell = ["/bin/sh", "-c", command]
        done = subprocess.run(
            shell, cwd=self.directory, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        said = done.stderr if expected.startswith("Traceback") else done.stdout
        assert self._fits(expected, said), f"$ {command}\n{done.stdout}{done.stderr}"

    def _started(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            shlex.split(command),
            cwd=self.directory,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _fits(self, expected: str, said: str) -> bool:
        """Whether something was said as it is printed, but for white space and what ``…`` stands for."""
        heard, at = " ".join(said.split()), 0
        if not expected:
            return not heard
        parts = [" ".join(part.split()) for part in expected.split("…")]
        for number, part in enumerate(parts):
            begin = r"\A" if number == 0 else ""
            end = r"\Z" if number == len(parts) - 1 and part else ""
            found = re.compile(begin + self._pattern(part) + end).search(heard, at)
            if found is None:
                return False
            at = found.end()
            self.ids |= {each: found[f"id{n}"] for n, each in enumerate(self._new_ids(part))}
        return bool(part == "" or at == len(heard))

    def _pattern(self, part: str) -> str:
        pattern = re.escape(part)
        for number, each in enumerate(self._new_ids(part)):
            pattern = pattern.replace(re.escape(each), rf"(?P<id{number}>{TASK_ID.pattern})", 1)
        for printed, here in self.ids.items():
            pattern = pattern.replace(re.escape(printed), re.escape(here))
        return pattern

    def _new_ids(self, part: str) -> list[str]:
        return list(dict.fromkeys(each for each in TASK_ID.findall(part) if each not in self.ids))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_the_tutorial_goes_as_it_says(reader: Reader) -> None:
    for block in blocks():
        reader.follow(block)
    assert len(reader.ids) == 2


def test_its_links_lead_somewhere() -> None:
    for link in links(PAGE):
        assert (ROOT / "docs" / link).exists(), link
