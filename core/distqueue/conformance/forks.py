"""Processes of a test, forked from one which has imported everything: they start in a tenth of the time.

Beyond that each is what ``python -m MODULE`` would be: a process with a session, a directory, an environment,
streams and an exit code of its own, which ends as it likes and can be killed. Only modules of this
distribution are imported beforehand: a backend of somebody else's is not expected to stand a fork. Run as a
program this module is the process that the others are forked from; all end with the one that started it.
"""

from __future__ import annotations

import atexit
import functools
import gc
import itertools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Final

SUITE: Final = ("distqueue.opening", "distqueue.conformance.publisher", "distqueue_backends")
"""What the child processes of the suite need, as modules and packages."""
_LATER: Final = ("DISTQUEUE_", "PYTEST_")
"""What of an environment is read later than at an import."""
_SENT: Final = 5
"""How many descriptors come with a request: where to answer, the three streams, and what is asked."""

type Streams = tuple[int, int, int]
"""The descriptors that a process has as its input, its output and its errors."""
type Process = subprocess.Popen[bytes] | Fork
"""A process that was started by :func:`start`."""


def start(streams: Streams, module: str, *arguments: str, under: Sequence[str] = ()) -> Process:
    """Start ``python -m MODULE ARGUMENTS``, in a session of its own and as a fork where that can be.

    ``under`` is a command that runs another one in its own place, such as ``strace -D``: that one cannot.
    Nor can a process whose directory was removed: it has none that a fork could be told.
    """
    if not under and can_fork() and (directory := _directory()) is not None:
        forks = _shared(os.getpid(), next(_turns) % 2)
        if forks.suits(os.environ):
            return forks.start([module, *arguments], directory, os.environ, streams)
    stdin, stdout, stderr = streams
    command = [*under, sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)


def _directory() -> Path | None:
    """Return the directory of this process, ``None`` if it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


_turns = itertools.count()


@functools.cache
def _shared(pid: int, number: int) -> Forks:
    """Return one of those of this process: what is forked from the same one has the same hash seed."""
    made = Forks(SUITE, os.environ)
    atexit.register(made.close)
    return made


def can_fork() -> bool:
    """Whether this system has all that is needed: Linux does."""
    return hasattr(os, "pidfd_open")


class Forks:
    """The process that others are forked from, with what it imports and the environment that it has.

    ``options`` are those of the interpreter. The environment of another process may differ in what is
    read later than at an import only: in what begins with one of ``later``, too.
    """

    def __init__(
        self,
        packages: Sequence[str],
        env: Mapping[str, str],
        options: Sequence[str] = (),
        *,
        later: Sequence[str] = (),
    ) -> None:
        self._pid = os.getpid()
        self._later = (*_LATER, *later)
        self._env = self._general(env)
        self._requests, theirs = _pair()
        with theirs:
            command = [sys.executable, *options, "-m", __name__, str(theirs.fileno()), *packages]
            self._process = subprocess.Popen(
                command,
                env=self._env,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def suits(self, env: Mapping[str, str]) -> bool:
        """Whether it runs, and this is its environment, but for what is read later than at an import."""
        return self._process.poll() is None and self._general(env) == self._env

    def _general(self, env: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in env.items() if not name.startswith(self._later)}

    def start(
        self, arguments: Sequence[str], directory: Path, env: Mapping[str, str], streams: Streams
    ) -> Fork:
        """Fork a process that runs ``python -m`` with these arguments."""
        ours, theirs = _pair()
        request = json.dumps([list(arguments), str(directory), dict(env)]).encode()
        with theirs, open(os.memfd_create("request"), "wb") as file:  # a message could be too long
            file.write(request)
            file.flush()
            socket.send_fds(self._requests, [b"!"], [theirs.fileno(), *streams, file.fileno()])
        return Fork(ours)

    def close(self) -> None:
        """End it, and what it has forked and still runs. A copy of this process that ends leaves it alone."""
        if os.getpid() == self._pid:
            self._requests.shutdown(socket.SHUT_RDWR)  # also for those that this process has forked itself
            self._process.wait()
        self._requests.close()


class Fork:
    """A forked process, with those methods of a :class:`subprocess.Popen` that tests need.

    It can be killed and waited for also when what it was forked from has died; its exit code is lost then.
    """

    def __init__(self, says: socket.socket) -> None:
        self._says = says
        self.returncode: int | None = None
        self._is_lost = False
        says.settimeout(30.0)
        try:
            said, descriptors, *_ = socket.recv_fds(says, 16, 1, socket.MSG_CMSG_CLOEXEC)
            if not said:
                why = "what it would be forked from has ended, or has no free descriptors"
                raise ChildProcessError(f"no process was forked: {why}")
        except BaseException:
            says.close()
            raise
        self.pid = int(said)
        (self._pidfd,) = descriptors

    def poll(self) -> int | None:
        """Return the exit code, if it has ended.

        Raises:
            ChildProcessError: it has ended, and its exit code is lost.
        """
        with suppress(TimeoutError, BlockingIOError):
            return self._end(0.0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs after so many seconds.
            ChildProcessError: it has ended, and its exit code is lost.
        """
        try:
            return self._end(timeout)
        except (TimeoutError, BlockingIOError):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0) from None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None and not self._is_lost:
            with suppress(ProcessLookupError):  # it has ended, whoever has its pid now
                signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _end(self, timeout: float | None) -> int:
        if self.returncode is None and not self._is_lost:
            self.returncode = self._hear(timeout)
            self._is_lost = self.returncode is None
            self._says.close()
            os.close(self._pidfd)
        if self.returncode is None:
            raise ChildProcessError(
                f"how process {self.pid} ended is lost: what it was forked from died first"
            )
        return self.returncode

    def _hear(self, timeout: float | None) -> int | None:
        """Return the exit code once it has ended, ``None`` if nobody is left to tell it."""
        self._says.settimeout(timeout)
        if said := self._says.recv(16):
            return int(said)
        ends = select.poll()
        ends.register(self._pidfd, select.POLLIN)
        if not ends.poll(None if timeout is None else timeout * 1000):
            raise TimeoutError
        return None


def stand_still(process: Process) -> None:
    """Send SIGSTOP, and wait until the process stands still."""
    os.kill(process.pid, signal.SIGSTOP)
    if isinstance(process, subprocess.Popen):
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        return
    while any(state not in "TZX" for state in _states(process.pid)):
        time.sleep(0.001)


def _states(pid: int) -> Iterator[str]:
    """Give out in what state each thread of a process is: proc_pid_stat(5)."""
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            yield path.read_text().rpartition(")")[2].split()[0]


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


# --- The process that others are forked from ------------------------------------------------------------


def serve(requests: socket.socket) -> None:
    """Fork a process for each request, and say its pid and how it ended; returns in those processes."""
    running: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()  # select() knows none of the descriptors from 1024 on
    poll.register(requests, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready in running:
                pid, told = running.pop(ready)
                poll.unregister(ready)
                os.close(ready)
                with told, suppress(OSError):  # nobody wants to know any longer
                    told.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                continue
            asked, fds, *_ = socket.recv_fds(requests, 1, _SENT)
            if not asked:
                for pid, _ in running.values():
                    with suppress(OSError):
                        os.killpg(pid, signal.SIGKILL)
                os._exit(0)
            if len(fds) < _SENT:  # no more were free here; whoever asked hears that nobody answers
                for fd in fds:
                    os.close(fd)
                continue
            answer, *streams, request = fds
            if (pid := os.fork()) == 0:
                for each in (requests, *[other for _, other in running.values()]):
                    each.detach()
                become(streams, *json.loads(os.pread(request, os.fstat(request).st_size, 0)))
                return
            for fd in (*streams, request):
                os.close(fd)
            told, ends = socket.socket(fileno=answer), os.pidfd_open(pid)
            with suppress(OSError):  # nobody wants to know any longer
                socket.send_fds(told, [b"%d" % pid], [ends])
            running[ends] = (pid, told)
            poll.register(ends, select.POLLIN)


def become(streams: list[int], arguments: list[str], directory: str, env: dict[str, str]) -> None:
    """Make this process what ``python -m`` would be."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.path[0] = directory
    sys.argv = arguments
    coded = sys.stdin.encoding, sys.stdin.errors  # as the locale and PYTHONIOENCODING have it
    sys.stdin = os.fdopen(0, encoding=coded[0], errors=coded[1], closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=coded[0], errors=coded[1], closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=coded[0], errors="backslashreplace", closefd=False)
    if not hasattr(sys.modules.get(arguments[0]), "__path__"):  # of a package it is __main__ that is run
        sys.modules.pop(arguments[0], None)


def _import(packages: Sequence[str]) -> None:
    """Import modules and all that is in packages, as far as what they need is installed."""
    for name in packages:
        module = import_module(name)
        for each in walk_packages(getattr(module, "__path__", []), f"{name}."):
            with suppress(ImportError):
                import_module(each.name)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _import(sys.argv[2:])
        sys.stdout.flush()  # what was printed meanwhile is not to be written by each of them once more
        gc.freeze()
        serve(given)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
