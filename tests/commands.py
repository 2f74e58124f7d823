"""``distqueue`` in processes of its own, forked where they can be from one that has imported all of it."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from distqueue.conformance.forks import Forks, Process, Streams, can_fork

_PACKAGES: Final = ("distqueue.cli", "distqueue_backends", "distqueue.worker")
_STRICT: Final = ("-W", "error")
_LATER: Final = ("NOTES",)
"""What the handlers of tests read, which are imported by the processes themselves."""


def command(*arguments: str) -> list[str]:
    """Return the command line."""
    return [sys.executable, *_STRICT, "-m", "distqueue", *arguments]


def start(arguments: Sequence[str], directory: Path, env: Mapping[str, str], streams: Streams) -> Process:
    """Start a command; what its streams are is not closed."""
    forks = _forks(os.getpid(), env.get("PYTHONDONTWRITEBYTECODE", "")) if can_fork() else None
    if forks is not None and forks.suits(env):
        return forks.start(["distqueue", *arguments], directory, env, streams)
    stdin, stdout, stderr = streams
    return subprocess.Popen(
        command(*arguments), cwd=directory, env=env, stdin=stdin, stdout=stdout, stderr=stderr
    )


def run(
    arguments: Sequence[str], directory: Path, env: Mapping[str, str], stdin: str = ""
) -> tuple[int, str, str]:
    """Run a command to its end; return its exit code and what it printed to its output and as errors."""
    (given, write), (read_out, out), (read_err, err) = os.pipe(), os.pipe(), os.pipe()
    process = start(arguments, directory, env, (given, out, err))
    for fd in (given, out, err):
        os.close(fd)
    with ThreadPoolExecutor(2) as threads:
        threads.submit(_write, write, stdin)
        errors = threads.submit(_read, read_err)
        printed = _read(read_out)
        return process.wait(60), printed, errors.result()


def environment() -> dict[str, str]:
    """Return the environment of commands: nothing of distqueue's, and nothing about a terminal."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DISTQUEUE_")}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        env.pop(name, None)
    return env | {"TERM": "xterm-256color", "TZ": "UTC"}


@functools.cache
def _forks(pid: int, writes_no_bytecode: str) -> Forks:
    """Return what this process forks commands from; the one setting of Python's that tests need is kept."""
    env = environment()
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    if writes_no_bytecode:
        env["PYTHONDONTWRITEBYTECODE"] = writes_no_bytecode
    forks = Forks(_PACKAGES, env, _STRICT, later=_LATER)
    atexit.register(forks.close)
    return forks


def _read(fd: int) -> str:
    with open(fd) as file:
        return file.read()


def _write(fd: int, text: str) -> None:
    try:
        with open(fd, "w") as file:
            file.write(text)
    except BrokenPipeError:  # it did not read everything
        pass
