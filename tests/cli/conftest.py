"""The real command in child processes, in a directory of the test's own."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distqueue import Queue
from tests import commands

URL = "json:///Queue.json"


class Done:
    """A command that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def lines(self) -> list[str]:
        """What it printed, line by line."""
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        """The one line of JSON that it printed."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """The lines of JSON that it printed."""
        return [json.loads(line) for line in self.lines]


class Shell:
    """Runs ``distqueue`` in a directory; ``DISTQUEUE_URL`` names a store in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "Queue.json"
        self.env = commands.environment() | {"DISTQUEUE_URL": URL}
        self._children: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0, **env: str) -> Done:
        """Run a command and wait for its end, which has to have this exit code."""
        done = Done(*commands.run(arguments, self.directory, self.env | env, stdin))
        assert done.code == code, f"{arguments}: {done.code}\n{done.out}{done.err}"
        assert "Traceback" not in done.err or "DISTQUEUE_DEBUG" in env
        return done

    def line(self, line: str) -> Done:
        """Run a command as it would be typed behind ``distqueue``."""
        return self(*shlex.split(line))

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
        """Start a command that can be interrupted, with pipes unless other streams are given."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        child = subprocess.Popen(
            commands.command(*arguments),
            cwd=self.directory,
            env=self.env,
            text=True,
            preexec_fn=_allow_interrupts,
            **{**pipes, **streams},
        )
        self._children.append(child)
        return child

    @contextmanager
    def queue(self, name: str = "default") -> Iterator[Queue]:
        """Open a queue of the store in this process, to lay out what a test begins with."""
        with Queue(f"json:///{self.store}", name) as queue:
            yield queue

    def bury(
        self, task_id: str, error: str | None, data: object, queue: str = "default", **options: Any
    ) -> None:
        """Put a task and make it dead."""
        with self.queue(queue) as opened:
            opened.put(data, task_id=task_id, **options)
            delivery = opened.get()
            assert delivery is not None
            delivery.reject(error)

    def stats(self, queue: str = "default") -> dict[str, Any]:
        """Return the counts of a queue."""
        stats: dict[str, Any] = self("stats", "-q", queue, "--json").json["queues"][0]
        return stats

    def close(self) -> None:
        """End what is left."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None and not stream.closed:
                    stream.close()


def _allow_interrupts() -> None:
    """Undo what the child inherits if the tests run where Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty directory."""
    made = Shell(tmp_path)
    yield made
    made.close()


@pytest.fixture
def full(shell: Shell) -> Shell:
    """A shell whose store has the tasks 1, 2 and 3."""
    shell("put", stdin="1\n2\n3\n")
    return shell
