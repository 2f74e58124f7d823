"""What a traced process does with a store: it notes each step that was acknowledged, then ends.

Run as a program this is a nursery: it forks a process for each scenario that it is told of, which
stops itself until a tracer is attached. So a run costs milliseconds, not the start of an interpreter.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

from distqueue.backend import OpenStore
from distqueue.commands import Ack, Browse, Claim, Command, Purge, Put, Retry
from distqueue.errors import DistqueueError
from distqueue.payload import encode
from distqueue.results import Outcome
from distqueue.urls import parse_url
from distqueue_backends.json import compaction
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.json.format import this_version
from distqueue_backends.json.options import JsonOptions
from distqueue_backends.sharded.backend import ShardedBackend

NOW: Final = 1_750_000_000.25
type Steps = list[Callable[[Any], list[Outcome]]]


class StillClock:
    """A clock that stands still, so that every run makes the same store."""

    def wall(self) -> float:
        return NOW

    def lease(self) -> float:
        return NOW


def _put(*task_ids: str, size: int = 10) -> list[Put]:
    return [Put(queue="q", task_id=task_id, data=encode(task_id * size)) for task_id in task_ids]


def _claim(token: str, count: int) -> list[Command]:
    return [Claim(queue="q", token=token, count=count, lease=1e6)]


def _apply(*commands: Command) -> Callable[[OpenStore], list[Outcome]]:
    return lambda backend: backend.apply(commands)


def _compact(backend: JsonBackend) -> list[Outcome]:
    with patch.object(compaction, "is_worth_it", return_value=True):
        backend._next_check = 0
        return backend.apply(_put("during"))


def _reopened(backend: JsonBackend) -> list[Outcome]:
    """Open the store beside the one that is open, as a process that comes later does."""
    later = open_store(backend.path)
    try:
        return later.apply([Browse(queue="q")])
    finally:
        later.close()


SESSION: Final[Steps] = [
    _apply(*_put("a", "b")),
    _apply(*_put("c")),
    _apply(*_claim("t1", 2)),
    _apply(Ack(queue="q", receipt="1.t1.a"), *_put("d")),
    _apply(Retry(queue="q", receipt="1.t1.b", delay=60, error="no")),
    _apply(*_put("big", size=200_000)),
    _apply(Purge(queue="q")),
]
COMPACTION: Final[Steps] = [_apply(*_put("before")), _compact, _apply(*_put("after"))]
FOLLOW_UPS: Final[Steps] = [_apply(Ack(queue="q", receipt="1.t.first", then=tuple(_put(*"abcd"))))]
"""Into a sharded store, in which the first task is leased; the others belong to other shards."""
TWICE: Final[Steps] = [*COMPACTION, _compact, _reopened]
SCENARIOS: Final[dict[str, Steps]] = {
    "session": SESSION,
    "compaction": COMPACTION,
    "twice": TWICE,
    "follow-ups": FOLLOW_UPS,
    "open": [],
    "put": [_apply(*_put("last"))],
}


def open_store(path: str) -> OpenStore:
    """Open a store; one in a single file has a time that stands still."""
    if os.path.isdir(path):
        return ShardedBackend(path)
    backend = JsonBackend(path)
    backend.clock = StillClock()
    return backend


def run(path: str, name: str, note: Callable[[str], None]) -> None:
    """Carry out a scenario and note each step that was acknowledged, or how it was not."""
    if name == "fsck":
        JsonBackend.fsck(parse_url(f"json:///{path}"), JsonOptions(), repair=True)
        note("ok")
        return
    backend = open_store(path)
    note("opened")
    for step in SCENARIOS[name]:
        try:
            outcomes = step(backend)
        except DistqueueError as error:
            note(type(error).__name__)
            continue
        refused = [type(outcome).__name__ for outcome in outcomes if isinstance(outcome, DistqueueError)]
        note(refused[0] if refused else "ok")
    backend.close()


def _child(path: str, name: str, notes: str) -> None:
    fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    may_trace: Any = ctypes.CDLL(None).prctl
    may_trace(0x59616D61, ctypes.c_ulong(2**64 - 1), 0, 0, 0)  # PR_SET_PTRACER, PR_SET_PTRACER_ANY
    os.kill(os.getpid(), signal.SIGSTOP)
    code = 0

    def note(text: str) -> None:
        os.writev(fd, [f"{text}\n".encode()])  # a call that no test lets fail

    try:
        run(path, name, note)
    except DistqueueError as error:
        note(f"raised {type(error).__name__}: {error}")
    except BaseException as error:  # noqa: BLE001 - the test has to see it
        note(f"crashed {error!r}")
        code = 1
    os._exit(code)


def _nursery() -> None:
    this_version()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(**request)
        os.waitpid(child, os.WUNTRACED)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _nursery()
