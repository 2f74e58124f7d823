"""Forked processes are what ``python -m`` would be, and are gone when whoever had them forked is."""

from __future__ import annotations

import itertools
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distqueue.conformance.forks import Fork, Forks, can_fork, stand_still, start

pytestmark = pytest.mark.skipif(not can_fork(), reason="this system has no pidfd_open")

TELLS = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ["DISTQUEUE_SIGN"], os.getsid(0) == os.getpid(), __name__)
print("and so on", file=sys.stderr)
sys.exit(int(sys.stdin.readline()))
"""
WAITS = "print('here', flush=True); input()"
CODED = "import sys; print([(each.encoding, each.errors) for each in (sys.stdin, sys.stdout, sys.stderr)])"
COPIED = """
import os, sys
from distqueue.conformance import forks
def start():
    return [forks.start((0, 1, 2), "ends").wait(30) for _ in range(2)]
start()
if os.fork() == 0:
    sys.exit()
os.wait()
sys.exit(start() != [0, 0])
"""
BEREFT = """
import os, signal, sys
from pathlib import Path
from distqueue.conformance import forks
def start():
    return [forks.start((0, 1, 2), "ends").wait(30) for _ in range(2)]
start()
for parent in map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
    os.kill(parent, signal.SIGKILL)
    os.waitid(os.P_PID, parent, os.WEXITED | os.WNOWAIT)
sys.exit(start() != [0, 0])
"""
BEREAVED = """
import os, select, signal, sys
from pathlib import Path
from distqueue.conformance.processes import Child
with Child("stays", "") as child:
    ends = os.pidfd_open(child.pid)
    for parent in map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
        os.kill(parent, signal.SIGKILL)
        os.waitid(os.P_PID, parent, os.WEXITED | os.WNOWAIT)
try:
    child.hear()
except ValueError:  # it reads from what is closed
    sys.exit(not select.select([ends], [], [], 30)[0])
sys.exit("it is not closed")
"""
HASHES = """
from distqueue.conformance import forks
for _ in range(2):
    forks.start((0, 1, 2), "hashes").wait(30)
"""
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


def parent_of(process: Fork) -> int:
    """Return the pid of what a process was forked from."""
    return int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules that can be run from the directory that they are in."""
    programs = {
        "tells": TELLS,
        "waits": WAITS,
        "starts": STARTS,
        "coded": CODED,
        "copied": COPIED,
        "bereft": BEREFT,
        "bereaved": BEREAVED,
        "stays": "import signal; signal.pause()",
        "starts_two": HASHES,
        "hashes": "print(hash('text'))",
        "ends": "",
    }
    for name, program in programs.items():
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


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_it_can_be_waited_for_in_vain(waiting: Started, seconds: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.process.wait(seconds)


def test_it_may_end_while_a_signal_is_sent(forks: Forks, modules: Path) -> None:
    for _ in range(30):
        started = Started(forks, "ends", directory=modules)
        while started.process.poll() is None:
            started.process.send_signal(signal.SIGCONT)
        started.close()


def test_its_environment_may_be_large(forks: Forks, modules: Path) -> None:
    large = {f"DISTQUEUE_{number}": "x" * 100_000 for number in range(5)}
    started = Started(forks, "ends", directory=modules, **large)
    assert started.process.wait(30) == 0
    started.close()


def test_a_package_is_imported_once(modules: Path) -> None:
    (package := modules / "package").mkdir()
    (package / "__init__.py").write_text("print('imported')")
    (package / "part.py").write_text("")
    (package / "__main__.py").write_text("import package.part; print(package.part.__name__)")
    forks = Forks(["distqueue.opening", "package.part"], os.environ)
    started = Started(forks, "package", directory=modules)
    assert started.process.wait(30) == 0
    assert os.read(started.output, 1000) == b"package.part\n"
    started.close()
    forks.close()


@pytest.mark.parametrize("env", [{"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "latin-1:replace"}])
def test_its_streams_are_coded_as_in_any_process(modules: Path, env: dict[str, str]) -> None:
    env = os.environ | env
    command = [sys.executable, "-m", "coded"]
    fresh = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    forks = Forks([], env)
    (stdout, written) = os.pipe()
    assert forks.start(["coded"], modules, env, (0, written, 2)).wait(30) == 0
    os.close(written)
    with open(stdout) as file:
        assert file.read().lower() == fresh.lower()
    forks.close()


def test_a_copy_that_ends_leaves_it_alone(modules: Path) -> None:
    assert subprocess.run([sys.executable, "-m", "copied"], check=False).returncode == 0


def test_processes_are_started_when_what_others_are_forked_from_was_killed(modules: Path) -> None:
    assert subprocess.run([sys.executable, "-m", "bereft"], check=False).returncode == 0


def test_it_is_killed_and_waited_for_when_what_it_was_forked_from_was_killed(
    forks: Forks, modules: Path
) -> None:
    started = Started(forks, "waits", directory=modules)
    assert os.read(started.output, 100) == b"here\n"
    parent = parent_of(started.process)
    ends = os.pidfd_open(parent)
    os.kill(parent, signal.SIGKILL)
    assert select.select([ends], [], [], 30)[0]
    os.close(ends)
    assert started.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        started.process.wait(0.01)
    started.process.kill()
    for _ in range(2):
        with pytest.raises(ChildProcessError, match="ended is lost"):
            started.process.wait(30)
    assert os.read(started.output, 100) == b""
    with pytest.raises(ChildProcessError):
        started.close()


def test_a_child_is_closed_when_what_it_was_forked_from_was_killed(modules: Path) -> None:
    assert subprocess.run([sys.executable, "-m", "bereaved"], check=False).returncode == 0


@pytest.mark.parametrize("free", range(5))
def test_a_fork_for_which_no_descriptors_are_free_is_refused(
    free: int, forks: Forks, waiting: Started, modules: Path
) -> None:
    parent = parent_of(waiting.process)
    used = {int(each.name) for each in Path(f"/proc/{parent}/fd").iterdir()}
    limit = next(most for most in itertools.count(3) if len(set(range(most)) - used) == free)
    soft, hard = resource.prlimit(parent, resource.RLIMIT_NOFILE)
    resource.prlimit(parent, resource.RLIMIT_NOFILE, (limit, hard))
    with pytest.raises(ChildProcessError, match="no free descriptors"):
        forks.start(["ends"], modules, os.environ, (0, 1, 2))
    resource.prlimit(parent, resource.RLIMIT_NOFILE, (soft, hard))
    assert forks.start(["ends"], modules, os.environ, (0, 1, 2)).wait(30) == 0
    os.write(waiting.input, b"\n")
    assert waiting.process.wait(30) == 0


def test_a_process_whose_directory_was_removed_starts_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with open(os.devnull, "r+b") as null:
        assert start((null.fileno(),) * 3, "this").wait(30) == 0


def test_not_all_hash_alike(modules: Path) -> None:
    """So that it is seen what takes a hash for the same in every process."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    done = subprocess.run([sys.executable, "-m", "starts_two"], env=env, check=True, capture_output=True)
    one, other = done.stdout.split()
    assert one != other


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


def test_all_end_with_their_starter(modules: Path) -> None:
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
        assert select.select([nursery], [], [], 30)[0]
        assert select.select([child], [], [], 30)[0]  # though its input has not ended
    os.close(nursery)
    os.close(child)
