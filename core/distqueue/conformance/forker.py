"""A child process that forks while it has a queue open: ``python -m distqueue.conformance.forker``.

The first line of its input is JSON of :class:`Plan`. It puts and forks, and says how that ended.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Final

import msgspec

from distqueue.conformance.processes import PATIENCE
from distqueue.queue import Queue

TASKS: Final = 20
"""How many tasks each of the two processes puts after the fork."""
_BATCH: Final = 500
"""How many tasks a process that is to be killed puts at a time: so it is nearly always in the middle."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: whether the process goes on to put until it is killed, while its fork just lives on."""

    url: str
    queue: str
    is_killed: bool


def main(plan: Plan) -> None:
    """Put, fork, and go on in both processes; the parent says ``ready``, or the other one's exit code."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a backend prints is no answer, but among the complaints
    with Queue(plan.url, name=plan.queue) as queue:
        queue.put("before", task_id="before")
        pid = _fork()
        if not plan.is_killed:
            _go_on(queue, "parent" if pid else "child")
        elif pid:
            answers.write(b"ready\n")
            while True:
                queue.put_many(["x" * 100] * _BATCH)
        else:
            sys.stdin.buffer.read()  # until the test ends
    if pid:
        answers.write(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _fork() -> int:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # there may be threads
        return os.fork()


def _go_on(queue: Queue, name: str) -> None:
    """Put, and ack half as many tasks, whoever has put them."""
    for number in range(TASKS):
        queue.put(name, task_id=f"{name}{number}")
    for _ in range(TASKS // 2):
        if (delivery := queue.get(timeout=PATIENCE)) is None:
            raise SystemExit(f"the {name} gets no task, though there are some")
        delivery.ack()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan))
