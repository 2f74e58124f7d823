"""Forked processes are what ``python -m`` would be, and are gone when whoever had them forked is."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distqueue.conformance.forks import Fork, Forks, can_fork, stand_still

pytestmark = pytest.mark.skipif(not can_fork(), reason="this system has no pidfd_open")

TELLS = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ["DISTQUEUE_SIGN"], os.getsid(0) == os.getpid(), __name__)
print("and so on", file=sys.stderr)
sys.exit(int(sys.stdin.readline()))
"""
WAITS = "print('here', flush=True); input()"
STARTS = """
import os
from pathlib import Path
from distqueue.conformance.forks import Forks
forks = Forks([], os.environ)
print(forks.start(["waits"], Path.cwd(), os.environ, (0, 1, 2)).pid, os.getpid(), flush=True)
input()
"""


class Started:
    """A forked process and the other ends of its streams."""

    def __init__(self, forks: Forks, module: str, *arguments: str, directory: Path, **env: str) -> None:
        (stdin, self.input), (self.output, stdout), (self.errors, stderr) = os.pipe(), os.pipe(), os.pipe()
        streams = (stdin, stdout, stderr)
        self.process: Fork = forks.start([module, *arguments], directory, {**os.environ, **env}, streams)
        for fd in streams:
            os.close(fd)

    def close(self) -> None:
        for fd in (self.input, self.output, self.errors):
            os.close(fd)
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules that can be run from the directory that they are in."""
    for name, program in {"tells": TELLS, "waits": WAITS, "starts": STARTS}.items():
        (tmp_path / f"{name}.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def forks(modules: Path) -> Iterator[Forks]:
    made = Forks(["distqueue.opening"], os.environ)
    yield made
    made.close()


@pytest.fixture
def waiting(forks: Forks, modules: Path) -> Iterator[Started]:
    started = Started(forks, "waits", directory=modules)
    assert os.read(started.output, 100) == b"here\n"
    yield started
    started.close()


def test_it_has_its_own_arguments_directory_environment_session_and_streams(
    forks: Forks, tmp_path: Path
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "tells.py").write_text(TELLS)
    started = Started(forks, "tells", "a", "b", directory=elsewhere, DISTQUEUE_SIGN="sign")
    os.write(started.input, b"7\n")
    assert started.process.wait(30) == 7
    assert os.read(started.output, 1000).decode() == f"['a', 'b'] {elsewhere} sign True __main__\n"
    assert os.read(started.errors, 1000) == b"and so on\n"
    started.close()


def test_it_is_killed_and_no_other_feels_it(forks: Forks, waiting: Started, modules: Path) -> None:
    other = Started(forks, "waits", directory=modules)
    assert os.read(other.output, 100) == b"here\n"
    other.process.kill()
    assert other.process.wait(30) == -signal.SIGKILL
    assert os.read(other.output, 100) == b""  # nobody else holds its streams
    other.close()
    assert waiting.process.poll() is None
    os.write(waiting.input, b"\n")
    assert waiting.process.wait(30) == 0
    assert waiting.process.poll() == 0


def test_it_can_be_waited_for_in_vain(waiting: Started) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.process.wait(0.01)


def test_it_stands_still(waiting: Started) -> None:
    stand_still(waiting.process)
    os.write(waiting.input, b"\n")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.process.wait(0.1)
    waiting.process.send_signal(signal.SIGCONT)
    assert waiting.process.wait(30) == 0


def test_an_environment_that_python_reads_at_its_start_is_another_one(forks: Forks) -> None:
    assert forks.suits({**os.environ, "DISTQUEUE_URL": "memory://a", "PYTEST_CURRENT_TEST": "b"})
    assert not forks.suits({**os.environ, "PYTHONPATH": "/elsewhere"})


def test_what_others_are_forked_from_ends_with_its_starter(modules: Path) -> None:
    command = [sys.executable, "-m", "starts"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdin is not None
        assert starter.stdout is not None
        said = [starter.stdout.readline().split() for _ in range(2)]
        (forked, _) = next(words for words in said if words != [b"here"])
        (parent,) = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text().split()
        nursery = os.pidfd_open(int(parent))
        child = os.pidfd_open(int(forked))
        starter.kill()
        starter.stdin.close()
        assert select.select([nursery], [], [], 30)[0]
        assert select.select([child], [], [], 30)[0]  # its input has ended
    os.close(nursery)
    os.close(child)
