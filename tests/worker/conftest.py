"""Real workers in processes of their own, on an app whose handlers write down when they begin and end."""

from __future__ import annotations

import os
import select
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from distqueue import Queue
from distqueue.conformance.forks import Process
from tests import commands

APP = '''
"""Handlers that write down when they begin and end, in one line each."""

import asyncio
import ctypes
import os
import subprocess
import time

from distqueue import App, Backoff, RejectTask, RetryTask, current_delivery

app = App()
SOON = Backoff(first=0.05, cap=0.1, jitter=0)
notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what):
    delivery = current_delivery()
    line = f"{what} {delivery.task_id} {delivery.attempt} {os.getpid()} {time.monotonic():.6f}\\n"
    os.write(notes, line.encode())


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


@app.task(retry=SOON)
def work(seconds: float = 0) -> None:
    note("begin")
    time.sleep(seconds)
    note("end")


@app.task(retry=SOON)
async def work_async(seconds: float = 0) -> None:
    note("begin")
    await asyncio.sleep(seconds)
    note("end")


@app.task(retry=SOON, max_attempts=3)
def fail(kind: str = "ValueError") -> None:
    note("begin")
    match kind:
        case "reject":
            raise RejectTask("there is no such customer")
        case "later":
            raise RetryTask("not yet", delay=0.01)
        case "exit":
            raise SystemExit(3)
    raise ValueError(f"{kind} is wrong")


@app.task(retry=SOON, retry_on=ConnectionError, reject_on=ConnectionResetError, max_attempts=2)
def fussy(error: str) -> None:
    note("begin")
    raise {"refused": ConnectionRefusedError, "reset": ConnectionResetError, "value": ValueError}[error]("no")


@app.task(retry=SOON, timeout=0.4, max_attempts=2)
def too_long(until: str) -> None:
    note("begin")
    wait_for(until)
    note("end")


@app.task(retry=SOON, timeout=0.2, max_attempts=2)
async def too_long_async() -> None:
    note("begin")
    await asyncio.sleep(60)


@app.task(retry=SOON, max_attempts=3)
def die() -> None:
    note("begin")
    os._exit(7)


@app.task(timeout=0.4, max_attempts=1)
def start_something() -> None:
    process = subprocess.Popen(["sleep", "600"])
    note(f"started-{process.pid}")
    process.wait()


@app.task(retry=SOON)
def until(path: str) -> None:
    note("begin")
    wait_for(path)
    note("end")


@app.task(retry=SOON)
def hold_the_interpreter(seconds: float) -> None:
    note("begin")
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    note("end")


@app.task(retry=SOON)
def until_lost() -> None:
    note("begin")
    while not current_delivery().lost:
        time.sleep(0.01)
    note("lost")


@app.task(retry=SOON)
def chain(left: int) -> None:
    note("begin")
    if left:
        current_delivery().then(chain.task(left - 1), work.task())


@app.task(retry=SOON, max_attempts=1)
def follow_with_half_a_character() -> None:
    note("begin")
    current_delivery().then(work.options(headers={"name": "\\ud800"}).task())


@app.task(retry=SOON)
def grow(mebibytes: int) -> None:
    note("begin")
    globals()["kept"] = bytearray(mebibytes * 1024 * 1024)
'''


class Note(NamedTuple):
    """What a handler wrote down."""

    what: str
    task_id: str
    attempt: int
    pid: int
    at: float


class Bench:
    """A directory with the app and its store, and the workers that were started there."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        self.notes_path = directory / "notes"
        (directory / "jobs.py").write_text(APP)
        self.env = commands.environment() | {"DISTQUEUE_URL": url, "NOTES": str(self.notes_path)}
        self.log = directory / "log"
        self.processes: list[Process] = []
        self.queue = Queue(url)

    def start(self, *arguments: str) -> Process:
        """Start a worker."""
        return self.spawn("work", "jobs:app", *arguments)

    def spawn(self, *arguments: str) -> Process:
        """Start a command; what it says goes to the log."""
        with open(os.devnull) as nothing, self.log.open("a") as log:
            streams = (nothing.fileno(), log.fileno(), log.fileno())
            process = commands.start(arguments, self.directory, self.env, streams)
        self.processes.append(process)
        return process

    def run(self, *arguments: str, code: int = 0) -> None:
        """Run a worker until nothing is left to do."""
        assert self.start("--burst", *arguments).wait(60) == code, self.log.read_text()

    def put(self, task: str, *, count: int = 1, **args: object) -> list[str]:
        """Put tasks as the app enqueues them, and return their ids."""
        payloads = [{"task": task, "args": args}] * count
        return [
            stored.task_id for stored in self.queue.put_many(payloads, max_attempts=_ATTEMPTS.get(task, 5))
        ]

    def notes(self, what: str | None = None) -> list[Note]:
        """Return what handlers have written down so far."""
        if not self.notes_path.exists():
            return []
        split = [line.split() for line in self.notes_path.read_text().splitlines()]
        found = [Note(one[0], one[1], int(one[2]), int(one[3]), float(one[4])) for one in split]
        return [one for one in found if what in (None, one.what)]

    def wait_for_notes(self, count: int, what: str = "begin") -> list[Note]:
        """Wait until so many things were written down."""
        return wait_until(lambda: found if len(found := self.notes(what)) >= count else None, self.log)

    def release(self, name: str = "go") -> str:
        """Let the handlers go on that wait for a file, and return its path."""
        path = self.directory / name
        path.touch()
        return str(path)

    def close(self) -> None:
        """End what is left."""
        self.release()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.queue.close()


_ATTEMPTS = {
    "follow_with_half_a_character": 1,
    "fail": 3,
    "fussy": 2,
    "too_long": 2,
    "too_long_async": 2,
    "die": 3,
}


def wait_until[T](look: Callable[[], T | None], log: Path, seconds: float = 60.0) -> T:
    """Look again and again until there is something, for so long."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None or found is False:
        assert time.monotonic() < deadline, log.read_text()
        select.select([], [], [], 0.01)
    return found


def check_apart(notes: list[Note]) -> None:
    """No two handlers of one task may have run at the same time; a killed one ends where its process did."""
    runs: dict[str, list[Note]] = defaultdict(list)
    for note in sorted(notes, key=lambda one: one.at):
        runs[note.task_id].append(note)
    for task_id, those in runs.items():
        for earlier, later in pairwise(those):
            if earlier.what == "begin" and later.what == "end":
                assert earlier.pid == later.pid, f"{task_id} was run by two at the same time: {those}"


@pytest.fixture(params=["sqlite", "served", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """An app on sqlite, on json through a broker process, and in a schema of PostgreSQL."""
    if request.param == "sqlite":
        made = Bench(tmp_path, f"sqlite:///{tmp_path}/jobs.db")
    elif request.param == "postgresql":
        made = Bench(tmp_path, request.getfixturevalue("postgres_store"))
    else:
        made = Bench(tmp_path, f"json:///{tmp_path}/Queue.json")
        made.spawn("serve")
        wait_until(lambda: "serving" in made.log.read_text(), made.log)
    yield made
    made.close()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Bench]:
    """An app on sqlite."""
    made = Bench(tmp_path, f"sqlite:///{tmp_path}/jobs.db")
    yield made
    made.close()


def alive(pid: int) -> bool:
    """Whether a process is there and not dead."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(each) for each in file.read().split()]
