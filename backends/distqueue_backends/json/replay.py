"""Reading the log back: each op is a step that the table takes again."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from distqueue.task import DEFAULT_OPTIONS, TaskOptions, TaskState
from distqueue_backends.json.format import Commit
from distqueue_backends.table.backend import LAPSED
from distqueue_backends.table.entry import READY, SCHEDULED, STATES, Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.remembered import Gone
from distqueue_backends.table.steps import load_entry, purge_states, redrive_dead
from distqueue_backends.table.where import pack

type Tables = dict[str, QueueTable]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Read without the cyclic garbage collector, which would look at all tasks again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Unfit(Exception):
    """A commit is whole, but speaks of tasks that are not as it takes them to be."""


class Replay:
    """Takes the steps of commits in tables.

    ``lenient`` passes over steps with tasks that are not there: for the repair of a damaged file.
    """

    def __init__(
        self, tables: Tables, new_table: Callable[[str], QueueTable], *, lenient: bool = False
    ) -> None:
        self._tables = tables
        self._new_table = new_table
        self._lenient = lenient

    def commit(self, commit: Commit, line: bytes, offset: int) -> None:
        """Take the steps of one commit, whose line begins at ``offset`` of the file.

        Raises:
            Unfit: the commit does not fit those before it.
        """
        payloads = iter(commit.payloads)
        for op in commit.ops:
            try:
                name = op["queue"]
                table = self._tables.get(name)
                if table is None:
                    table = self._tables[name] = self._new_table(name)
                kind = op["op"]
                if kind == "put":
                    _put(table, op["tasks"], commit.at, payloads, line, offset)
                elif kind == "load":
                    _load(table, op["tasks"], payloads, line, offset)
                else:
                    self._step(table, kind, op, commit.at)
            except (KeyError, TypeError, ValueError) as error:
                if not self._lenient:
                    raise Unfit(f"commit {commit.seq} does not fit those before it: {error!r}") from None

    def _step(self, table: QueueTable, kind: str, op: dict[str, Any], at: float) -> None:
        step = _STEPS.get(kind)
        if step is not None:
            tasks = table.tasks
            for task_id in op["ids"]:
                if not self._lenient or task_id in tasks:
                    step(table, tasks[task_id], op, at)
        elif kind == "claim":
            self._claim(table, op["ids"], op["token"], op["until"])
        else:
            _QUEUE_STEPS[kind](table, op, at)

    def _claim(self, table: QueueTable, ids: list[str], token: str, until: float) -> None:
        if self._lenient:
            taken = [e for task_id in ids if (e := table.tasks.get(task_id)) and e.state == READY]
        else:
            taken = table.take_next(len(ids))
            if [entry.task_id for entry in taken] != ids:
                raise ValueError(f"the tasks {ids[:3]} were not the next in line")
        table.lease(taken, token, until)


def _put(
    table: QueueTable,
    tasks: list[dict[str, Any]],
    at: float,
    payloads: Iterator[tuple[int, int]],
    line: bytes,
    offset: int,
) -> None:
    for task, (start, size) in zip(tasks, payloads):
        crc = zlib.crc32(line[start : start + size])
        entry = Entry(task["id"], 0, pack(offset + start, size), crc, at, DEFAULT_OPTIONS)
        if len(task) > 2:
            entry.options = _options(task)
            if "due" in task:
                entry.state = SCHEDULED
                entry.until = task["due"]
        table.put(entry)


def _load(
    table: QueueTable,
    tasks: list[dict[str, Any]],
    payloads: Iterator[tuple[int, int]],
    line: bytes,
    offset: int,
) -> None:
    for task, (start, size) in zip(tasks, payloads):
        get = task.get
        number = task["number"]
        entry = Entry(
            task["id"],
            number,
            pack(offset + start, size),
            zlib.crc32(line[start : start + size]),
            task["put_at"],
            DEFAULT_OPTIONS,
            READY,
            number,
        )
        if len(task) > 4:
            entry.options = _options(task)
            entry.state = STATES.index(TaskState(get("state", TaskState.READY)))
            entry.place = get("place", number)
            entry.until = get("until")
            entry.failures = get("failures", 0)
            entry.deliveries = get("deliveries", 0)
            entry.token = get("token")
            entry.settled = get("settled")
            entry.error = get("error")
        load_entry(table, entry)


def _options(task: dict[str, Any]) -> TaskOptions:
    get = task.get
    options = TaskOptions(
        get("priority", 0),
        get("max_attempts", 5),
        get("expires_in"),
        get("keep_done", 0.0),
        get("group"),
        get("unique"),
        get("publisher_id"),
        get("headers"),
    )
    return DEFAULT_OPTIONS if options == DEFAULT_OPTIONS else options


def _queue(table: QueueTable, op: dict[str, Any], at: float) -> None:
    table.next_number, table.last_number = op["next_number"], op["last_number"]
    table.paused = op.get("paused", False)
    table.expired = op.get("expired", 0)


def _pause(paused: bool) -> Callable[[QueueTable, dict[str, Any], float], None]:
    def step(table: QueueTable, op: dict[str, Any], at: float) -> None:
        table.paused = paused
        table.version += not paused

    return step


def _remember(table: QueueTable, op: dict[str, Any], at: float) -> None:
    for task in op["tasks"]:
        deliveries, token = task.get("deliveries", 0), task.get("token")
        table.remembered.add(
            Gone(task["id"], task["at"], task["payload_crc"], task["settled"], deliveries, token)
        )


_STEPS: Final[dict[str, Callable[[QueueTable, Entry, dict[str, Any], float], None]]] = {
    "due": lambda table, entry, op, at: table.place_due(entry),
    "expire": lambda table, entry, op, at: table.remove(entry, "expire", at),
    "forget": lambda table, entry, op, at: table.remove(entry, "ack", at),
    "lapse": lambda table, entry, op, at: table.lapse(entry, LAPSED),
    "ack": lambda table, entry, op, at: table.ack(entry, at),
    "retry": lambda table, entry, op, at: table.retry(entry, op.get("due"), op.get("error")),
    "release": lambda table, entry, op, at: table.release(entry),
    "reject": lambda table, entry, op, at: table.reject(entry, op.get("error")),
    "extend": lambda table, entry, op, at: table.extend(entry, op["until"]),
    "cancel": lambda table, entry, op, at: table.remove(entry, "cancel", at),
}

_QUEUE_STEPS: Final[dict[str, Callable[[QueueTable, dict[str, Any], float], None]]] = {
    "redrive": lambda table, op, at: _ignore(redrive_dead(table, op.get("id"), op.get("error"))),
    "purge": lambda table, op, at: _ignore(
        purge_states(table, [TaskState(state) for state in op.get("states", [])], at)
    ),
    "pause": _pause(True),
    "resume": _pause(False),
    "remember": _remember,
    "queue": _queue,
}


def _ignore(result: object) -> None:
    """The answer was given when the step was first taken."""
