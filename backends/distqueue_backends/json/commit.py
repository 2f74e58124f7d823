"""A commit in the making: the journal of the table, which becomes one line of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from distqueue.task import DEFAULT_OPTIONS, FailedAttempt
from distqueue_backends.json.format import encode_commit, payload_spans
from distqueue_backends.json.ops import KINDS, NewTask, WholeTask
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.where import pack_all

_PLAIN: Final = b'{"id":"%b","data":'
"""What a task without options begins with."""
_encode: Final = msgspec.json.Encoder().encode


class CommitBuilder:
    """Takes down the steps of one commit. Neighbouring steps of one kind become one op."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._ops: list[bytes] = []
        self._cuts: list[int] = []
        self._gap = 1
        self._op = self._queue = ""
        self._before: list[bytes] = []
        self._ids: list[str] = []
        self._fields: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._ops or self._op)

    # --- The journal of the table ---------------------------------------------------------------------

    # What a later step of this commit does to a task must not get into the op of its put: so what is
    # written of a task is made at once.

    def put(self, queue: str, entry: Entry) -> None:
        if entry.options is DEFAULT_OPTIONS and entry.until is None:
            self.put_together(queue, (entry,))
        else:
            self._note_tasks("put", queue, (entry,), [_before_data(NewTask.of(entry))])

    def put_together(self, queue: str, entries: Sequence[Entry]) -> None:
        self._note_tasks("put", queue, entries, [_PLAIN % entry.task_id.encode() for entry in entries])

    def load(self, queue: str, entry: Entry, failures: tuple[FailedAttempt, ...]) -> None:
        self._note_tasks("load", queue, (entry,), [_before_data(WholeTask.of(entry, failures))])

    def ack(self, queue: str, task_id: str) -> None:
        if self._op != "ack" or self._queue != queue:
            self._begin("ack", queue)
        self._ids.append(task_id)

    def note(self, op: str, queue: str, ids: Sequence[str] = (), **fields: Any) -> None:
        if self._op != op or self._queue != queue or not ids or self._fields != fields:
            self._begin(op, queue)
            self._fields = fields
        self._ids += ids

    # --- The line ---------------------------------------------------------------------------------

    def encode(self, seq: int, at: float) -> tuple[tuple[bytes, ...], int]:
        """Return the line of the commit, in pieces, and where in it the ops begin."""
        self._end_op()
        return encode_commit(seq, at, self._cuts, self._ops)

    def places(self, ops_at: int) -> list[int]:
        """Return where the payloads of ``entries`` are, now that the ops begin at ``ops_at`` of the file."""
        return pack_all(payload_spans(self._cuts, ops_at))

    # --- Within ----------------------------------------------------------------------------------------

    def _begin(self, op: str, queue: str) -> None:
        self._end_op()
        self._op, self._queue = op, queue

    def _note_tasks(self, op: str, queue: str, entries: Sequence[Entry], before: Sequence[bytes]) -> None:
        if self._op != op or self._queue != queue:
            self._begin(op, queue)
        self.entries += entries
        self._before += before

    def _end_op(self) -> None:
        if self._op:
            block = self._tasks_op() if self._before else self._ids_op()
            self._ops.append(block)
            self._gap += 1  # the comma
            self._op, self._before, self._ids, self._fields = "", [], [], {}

    def _ids_op(self) -> bytes:
        fields = {"ids": self._ids, **self._fields} if self._ids else self._fields
        block = _encode(KINDS[self._op](queue=self._queue, **fields))
        self._gap += len(block)
        return block

    def _tasks_op(self) -> bytes:
        """Return the op of tasks, and note where their payloads stand in it."""
        head = b'{"op":"%b","queue":"%b","tasks":[' % (self._op.encode(), self._queue.encode())
        before = self._before
        data: list[Any] = [entry.where for entry in self.entries[-len(before) :]]  # no place in a file yet
        tasks = [b"%b%b}" % task for task in zip(before, data)]
        # From one payload to the next: the brace behind it, the comma, what is before the data.
        cuts = [cut for lead, one in zip(before, data) for cut in (2 + len(lead), len(one))]
        cuts[0] += self._gap + len(head) - 2
        self._cuts += cuts
        self._gap = 3  # the brace, and what closes the op
        tasks[0] = head + tasks[0]
        tasks[-1] += b"]}"
        return b",".join(tasks)


def _before_data(task: NewTask | WholeTask) -> bytes:
    """Return what a task begins with; its payload and a brace follow."""
    return _encode(task)[:-1] + b',"data":'
