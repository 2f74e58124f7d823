"""Broker processes of the tests' own, on stores in temporary directories."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from distqueue.supervisor import Supervisor
from distqueue.urls import parse_url

PATIENCE = 20.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a store that is not there yet."""
    return f"json:///{tmp_path}/Queue.json"


@pytest.fixture
def serve(url: str) -> Iterator[Callable[..., Supervisor]]:
    """Starts a broker process for the store, and keeps it alive until the test ends."""
    with ExitStack() as stack:

        def start(**options: Any) -> Supervisor:
            supervisor = Supervisor(parse_url(url), {}, **options)
            supervisor.start()
            stack.callback(supervisor.stop)
            return supervisor

        yield start


@pytest.fixture
def serve_alone(url: str) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts ``distqueue serve``, which nobody starts again."""
    with ExitStack() as stack:

        def start() -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "distqueue", "serve", "-u", url]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            stack.callback(end, process)
            assert process.stderr is not None
            while "serving" not in (line := process.stderr.readline()):
                assert line, "it ended before it served"
            return process

        yield start


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process if it still runs, and free its pipe."""
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that has to happen soon."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def runs(pid: int) -> bool:
    """Whether a process is there."""
    return Path(f"/proc/{pid}").exists()
