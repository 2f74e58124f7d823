"""Real workers that keep schedules, and ``distqueue schedules``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from distqueue import Queue
from distqueue.conformance.forks import Process
from tests import commands

pytestmark = pytest.mark.slow

APP = """
from distqueue import App, current_delivery

app = App()

@app.schedule(every=0.2, missed="all")
@app.task(queue="beats")
def beat() -> None: ...

@app.schedule("0 4 1 1 *", timezone="Europe/Berlin", name="new-year", kwargs={"to": "all"})
def greet(to: str) -> None:
    print("greeted", to, current_delivery().task_id.partition("@")[0], flush=True)
"""


class Shop:
    """An app with schedules, in a directory of its own, and processes that are about its store."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url.format(tmp=directory)
        self.write(APP)
        # Compiled code is told from changed code by whole seconds and the size: too coarse for `write`.
        self._env = commands.environment() | {"DISTQUEUE_URL": self.url, "PYTHONDONTWRITEBYTECODE": "1"}
        self._processes: list[Process] = []

    def write(self, app: str) -> None:
        """Let the app be another one."""
        (self.directory / "shop.py").write_text(app)

    @property
    def log(self) -> str:
        """What the processes have said on standard error."""
        log = self.directory / "log"
        return log.read_text() if log.exists() else ""

    def start(self, *arguments: str) -> Process:
        """Start a command that goes on."""
        with open(os.devnull) as nothing, (self.directory / "log").open("ab") as log:
            streams = (nothing.fileno(), log.fileno(), log.fileno())
            process = commands.start(arguments, self.directory, self._env, streams)
        self._processes.append(process)
        return process

    def start_elsewhere(self) -> Process:
        """Start a worker that keeps the schedules and takes no tasks; return once it does."""
        begun = self.log.count("working on queues")
        worker = self.start("work", "shop", "-q", "elsewhere")
        wait_until(lambda: self.log.count("working on queues") > begun, self)
        return worker

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end, and return what it printed."""
        ended, printed, errors = commands.run(arguments, self.directory, self._env)
        assert ended == code, f"{arguments}: {ended}\n{printed}{errors}"
        return printed + (errors if code else "")

    def schedules(self, *names: str) -> dict[str, Any]:
        """Return what is listed, by name."""
        listed = map(json.loads, self.run("schedules", "list", *names, "--json").splitlines())
        return {each["name"]: each for each in listed}

    def close(self) -> None:
        """End what is left."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture(params=["sqlite:///{tmp}/jobs.db?dedup_window=0"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    is_there = request.param == "postgresql"
    made = Shop(tmp_path, request.getfixturevalue("postgres_store") if is_there else request.param)
    yield made
    made.close()


def wait_until(is_so: Callable[[], bool], shop: Shop) -> None:
    """Wait for something that has to come."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, shop.log
        time.sleep(0.02)


def take(queue: Queue, count: int) -> list[float]:
    """Take ticks until there are so many; return their times in the order of taking."""
    times: list[float] = []
    while len(times) < count:
        delivery = queue.get(timeout=60)
        assert delivery is not None
        delivery.ack()
        seconds = re.fullmatch(r"beat@.*T\d\d:(\d\d):(\d\d(?:\.\d+)?)Z", delivery.task_id)
        assert seconds is not None, delivery.task_id
        times.append(60 * float(seconds[1]) + float(seconds[2]))
    return times


def check_each_once(times: list[float]) -> None:
    """Ticks of every 0.2 s: none is missing, and none came twice."""
    for before, after in pairwise(times):
        assert (after - before) % 3600 == pytest.approx(0.2), times


@pytest.mark.parametrize(
    "shop",
    [
        "sqlite:///{tmp}/jobs.db?dedup_window=0",
        "json:///{tmp}/Queue.json",
        "sharded-json:///{tmp}/queue.d?shards=2",
        "postgresql",
    ],
    indirect=True,
    ids=["sqlite", "json-served", "sharded", "postgresql"],
)
def test_ticks_come_once_each_while_workers_are_killed(shop: Shop) -> None:
    if shop.url.startswith("json:"):
        shop.start("serve")
        wait_until(lambda: (shop.directory / "Queue.json").exists(), shop)
    workers = [shop.start_elsewhere() for _ in range(2)]
    with Queue(shop.url, name="beats") as queue:
        times = take(queue, 5)
        for _ in range(2):
            workers[0].kill()
            workers[0].wait()
            times += take(queue, 8)
            workers = [workers[1], shop.start_elsewhere()]
        for worker in workers:
            worker.terminate()
        for worker in workers:
            assert worker.wait(30) == 0, shop.log
        while (delivery := queue.get(timeout=0)) is not None:
            delivery.release()
            times += take(queue, 1)
    if shop.url.startswith("sharded"):  # in what order they are got is another matter there
        times.sort()
    check_each_once(times)


def test_a_worker_in_a_burst_puts_what_is_due_and_handles_it(shop: Shop) -> None:
    shop.run("work", "shop", "--burst")
    due = shop.schedules()["beat"]["next_tick"]
    wait_until(lambda: time.time() > due, shop)
    shop.run("work", "shop", "--burst")
    assert shop.schedules()["beat"]["last_tick"] >= due
    assert json.loads(shop.run("stats", "-q", "beats", "--json"))["queues"][0]["ready"] == 0


def test_schedules_are_listed_paused_run_and_removed(shop: Shop) -> None:
    shop.run("work", "shop", "--burst")
    assert list(shop.schedules()) == ["beat", "new-year"]
    listed = shop.schedules("new-year")["new-year"]
    assert {name: listed[name] for name in ("app", "cron", "every", "timezone", "missed", "grace")} == {
        "app": "shop:app",
        "cron": "0 4 1 1 *",
        "every": None,
        "timezone": "Europe/Berlin",
        "missed": "one",
        "grace": 60.0,
    }
    assert (listed["task"], listed["queue"], listed["paused"]) == ("greet", "default", False)
    assert listed["data"] == {"task": "greet", "args": {"to": "all"}}
    (titles, *rows) = [line.split("\t") for line in shop.run("schedules").splitlines()]
    assert titles == ["name", "spec", "timezone", "next tick", "last tick", "paused", "task", "queue"]
    assert rows[1][:3] == ["new-year", "0 4 1 1 *", "Europe/Berlin"]
    assert rows[1][3].endswith("-01-01T03:00:00+00:00")

    shop.run("schedules", "pause", "beat", "new-year")
    shop.run("schedules", "resume", "new-year")
    assert [each["paused"] for each in shop.schedules().values()] == [True, False]
    shop.run("schedules", "run", "new-year")
    shop.start("work", "shop", "--burst").wait(60)
    assert "greeted all" in shop.log
    shop.run("schedules", "remove", "beat")
    assert list(shop.schedules()) == ["new-year"]


def test_a_schedule_that_is_not_there_is_said_to_be_none(shop: Shop) -> None:
    with Queue(shop.url) as queue:
        queue.stats()
    for action in ("list", "pause", "resume", "run", "remove"):
        assert "there is no schedule 'yearly'" in shop.run("schedules", action, "yearly", code=3)
    assert "which schedule is to be paused?" in shop.run("schedules", "pause", code=2)


def test_a_paused_schedule_stays_paused_across_workers(shop: Shop) -> None:
    shop.run("work", "shop", "--burst")
    shop.run("schedules", "pause", "beat")
    before = shop.schedules("beat")["beat"]
    worker = shop.start("work", "shop")
    wait_until(lambda: shop.schedules("beat")["beat"]["next_tick"] > before["next_tick"], shop)
    assert shop.schedules("beat")["beat"]["last_tick"] == before["last_tick"]
    shop.run("schedules", "resume", "beat")
    wait_until(lambda: shop.schedules("beat")["beat"]["last_tick"] != before["last_tick"], shop)
    worker.terminate()
    assert worker.wait(30) == 0


def test_a_worker_of_the_changed_app_goes_over_to_its_schedules(shop: Shop) -> None:
    shop.run("work", "shop", "--burst")
    shop.write(APP.replace("every=0.2", "every=3600").replace('name="new-year"', 'name="january"'))
    shop.run("work", "shop", "--burst")
    listed = shop.schedules()
    assert list(listed) == ["beat", "january"]
    assert listed["beat"]["every"] == 3600


def test_a_child_that_imports_the_changed_app_brings_its_schedules(shop: Shop) -> None:
    worker = shop.start("work", "shop", "--max-tasks", "1")
    wait_until(lambda: "(beat) done" in shop.log, shop)
    shop.write(APP.replace('name="new-year"', 'name="january"'))
    wait_until(lambda: "schedule new-year ends" in shop.log, shop)
    assert list(shop.schedules()) == ["beat", "january"]
    worker.terminate()
    assert worker.wait(30) == 0


def test_a_store_that_cannot_keep_a_schedule_ends_the_worker(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "sharded-json:///{tmp}/queue.d")
    shop.write(APP.replace('queue="beats"', 'queue="beats", unique="beat"'))
    assert "this store cannot keep the schedule 'beat'" in shop.run("work", "shop", "--burst", code=1)


def test_a_worker_stops_at_once_while_it_waits_for_a_tick(shop: Shop) -> None:
    shop.write(APP.replace("every=0.2", "every=86400"))
    worker = shop.start("work", "shop")
    wait_until(lambda: "beat begins" in shop.log, shop)
    worker.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        worker.wait(20)
    assert worker.poll() == 0, shop.log
