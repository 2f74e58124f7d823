"""Commands that are forked from a process which has imported everything: they start in a tenth of the time.

Beyond that a command is what it is elsewhere: a process with a directory, an environment, streams and an exit
code of its own. This file is also the program that they are forked from.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Final

_MOST: Final = 256 * 1024
"""How long a request may be, in bytes."""
_PACKAGES: Final = ("distqueue.cli", "distqueue_backends")
"""What is imported beforehand, with all that it imports itself."""


class Forks:
    """The process that commands are forked from, with the environment that they have."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = _general(env)
        self._directory = tempfile.TemporaryDirectory(prefix="distqueue-forks-")
        self._path = f"{self._directory.name}/socket"
        with _socket() as server:
            server.bind(self._path)
            server.listen()
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", __file__, str(server.fileno())],
                env=self._env,
                pass_fds=[server.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def has(self, env: Mapping[str, str]) -> bool:
        """Whether this is its environment, but for what is read later than at an import, and by pytest."""
        return _general(env) == self._env

    def run(self, arguments: Sequence[str], directory: Path, env: Mapping[str, str], stdin: str) -> Done:
        """Run ``distqueue`` with these arguments, and wait for its end."""
        (given, write), (read_out, out), (read_err, err) = os.pipe(), os.pipe(), os.pipe()
        with _socket() as client, ThreadPoolExecutor(2) as threads:
            client.settimeout(60)
            client.connect(self._path)
            socket.send_fds(
                client, [json.dumps([arguments, str(directory), env]).encode()], [given, out, err]
            )
            for fd in (given, out, err):
                os.close(fd)
            threads.submit(_write, write, stdin)
            error = threads.submit(_read, read_err)
            printed = _read(read_out)
            return int(client.recv(16)), printed, error.result()

    def close(self) -> None:
        """End it, with what it has forked."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._directory.cleanup()


type Done = tuple[int, str, str]
"""The exit code of a command, and what it wrote to its streams."""


def _general(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith(("DISTQUEUE_", "PYTEST_"))}


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _read(fd: int) -> str:
    with open(fd) as file:
        return file.read()


def _write(fd: int, text: str) -> None:
    try:
        with open(fd, "w") as file:
            file.write(text)
    except BrokenPipeError:  # it did not read everything
        pass


def serve(fd: int) -> None:
    """Fork a process for each request, and say how it ended; returns in those processes."""
    running: dict[int, tuple[int, socket.socket]] = {}
    server = socket.socket(fileno=fd)
    while True:
        for ready in select.select([fd, *running], [], [])[0]:
            if ready in running:
                pid, client = running.pop(ready)
                os.close(ready)
                with client:
                    client.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                continue
            client, _ = server.accept()
            request, streams, *_ = socket.recv_fds(client, _MOST, 3)
            if (pid := os.fork()) == 0:
                for each in (server, client, *[other for _, other in running.values()]):
                    each.detach()
                os.closerange(3, min(streams))
                become(streams, *json.loads(request))
                return
            running[os.pidfd_open(pid)] = (pid, client)
            for stream in streams:
                os.close(stream)


def become(streams: list[int], arguments: list[str], directory: str, env: dict[str, str]) -> None:
    """Make this process what a command would be that somebody has started."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = ["distqueue", *arguments]
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)


if __name__ == "__main__":
    for package in map(import_module, _PACKAGES):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    gc.freeze()
    serve(int(sys.argv[1]))
    runpy.run_module("distqueue", run_name="__main__", alter_sys=True)
