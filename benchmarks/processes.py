"""Four publishers and two consumers, each a process, on one store; one task a call."""

from __future__ import annotations

import multiprocessing as mp
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contenders import PAYLOAD, Contender, Distqueue, Huey, Litequeue
from distqueue.supervisor import Supervisor
from distqueue.urls import parse_url

PUBLISHERS, CONSUMERS = 4, 2


class Load(NamedTuple):
    """What came of a load; rates are tasks a second while everybody ran."""

    published: float
    handled: float
    lost: int
    doubled: int
    slowest_of_fastest: float


def open_contender(kind: str, folder: Path) -> Contender:
    """Return a contender on the store of that kind in a folder."""
    if kind == "litequeue":
        return Litequeue(folder / "lq.db")
    return Huey(folder / "huey.db") if kind == "huey" else Distqueue(f"json:///{folder}/Queue.json")


def run(kind: str, folder: Path, seconds: float) -> Load:
    """Let all of them run for so long, drain the store, and count; ``broker`` is with a broker process."""
    if kind == "broker":
        with served(f"json:///{folder}/Queue.json"):
            return _run(kind, folder, seconds)
    return _run(kind, folder, seconds)


@contextmanager
def served(url: str) -> Iterator[Supervisor]:
    """Serve a store from a broker process."""
    supervisor = Supervisor(parse_url(url), {})
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()


def _run(kind: str, folder: Path, seconds: float) -> Load:
    open_contender(kind, folder).close()
    context = mp.get_context("spawn")
    go, halt = context.Event(), context.Event()
    pipes: list[Connection] = []
    processes = []
    for number in range(PUBLISHERS + CONSUMERS):
        ours, theirs = context.Pipe()
        work = publish if number < PUBLISHERS else consume
        process = context.Process(target=work, args=(kind, folder, number, go, halt, theirs))
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()  # it is ready
    go.set()
    time.sleep(seconds)
    halt.set()
    done: list[list[Any]] = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return _counted(kind, folder, done, seconds)


def publish(kind: str, folder: Path, number: int, go: Event, halt: Event, pipe: Connection) -> None:
    """Publish one task after another; tell which were acknowledged."""
    contender = open_contender(kind, folder)
    pipe.send("ready")
    go.wait()
    count = 0
    while not halt.is_set():
        contender.put([{**PAYLOAD, "who": number, "n": count}])
        count += 1
    pipe.send([(number, n) for n in range(count)])
    contender.close()


def consume(kind: str, folder: Path, number: int, go: Event, halt: Event, pipe: Connection) -> None:
    """Handle one task after another; tell which."""
    contender = open_contender(kind, folder)
    pipe.send("ready")
    go.wait()
    handled: list[Any] = []
    while not halt.is_set():
        taken = contender.take(1)
        handled += taken
        if not taken:
            time.sleep(0.001)
    pipe.send([(data["who"], data["n"]) for data in handled])
    contender.close()


def _counted(kind: str, folder: Path, done: list[list[Any]], seconds: float) -> Load:
    contender = open_contender(kind, folder)
    rest: list[Any] = []
    while taken := contender.take(1 if kind in ("litequeue", "huey") else 1000):
        rest += taken
    contender.close()
    published = [task for part in done[:PUBLISHERS] for task in part]
    handled = [task for part in done[PUBLISHERS:] for task in part]
    times = Counter([*handled, *((data["who"], data["n"]) for data in rest)])
    each = [len(part) for part in done[:PUBLISHERS]]
    return Load(
        published=len(published) / seconds,
        handled=len(handled) / seconds,
        lost=sum(task not in times for task in published),
        doubled=sum(count > 1 for count in times.values()),
        slowest_of_fastest=min(each) / max(each),
    )
