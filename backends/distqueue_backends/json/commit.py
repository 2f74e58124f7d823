"""A commit in the making: the journal of the table, which becomes one line of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from distqueue_backends.json.format import encode_commit, payload_spans
from distqueue_backends.table.entry import DEFAULT_OPTIONS, READY, STATES, Entry
from distqueue_backends.table.remembered import Gone
from distqueue_backends.table.where import pack

_OPTION_FIELDS: Final = (
    "priority",
    "max_attempts",
    "expires_in",
    "keep_done",
    "group",
    "unique",
    "publisher_id",
    "headers",
)


class CommitBuilder:
    """Takes down the steps of one commit. Neighbouring steps of one kind become one op."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._cuts: list[int] = []
        self.entries: list[Entry] = []
        self._gap = 1
        self._open: tuple[str, str] | None = None
        self._ids: list[str] = []
        self._noted: tuple[str, str, dict[str, Any]] | None = None

    def __bool__(self) -> bool:
        return bool(self._chunks) or self._noted is not None

    # --- The journal of the table -----------------------------------------------------------------

    def put(self, queue: str, entry: Entry, data: bytes) -> None:
        if entry.options is DEFAULT_OPTIONS and entry.until is None:
            self._add_task("put", queue, b'{"id":"%b","data":' % entry.task_id.encode(), entry, data)
        else:
            fields = {"id": entry.task_id, **_given(due=entry.until), **options_fields(entry)}
            self._add_task("put", queue, orjson.dumps(fields)[:-1] + b',"data":', entry, data)

    def load(self, queue: str, entry: Entry, data: bytes) -> None:
        self._add_task("load", queue, orjson.dumps(entry_fields(entry))[:-1] + b',"data":', entry, data)

    def note(self, op: str, queue: str, ids: Sequence[str] = (), **fields: Any) -> None:
        if self._ids and ids and self._noted == (op, queue, fields):
            self._ids += ids
            return
        self._close_op()
        self._noted = (op, queue, fields)
        self._ids = list(ids)

    # --- The line ---------------------------------------------------------------------------------

    def encode(self, seq: int, at: float) -> tuple[bytes, int]:
        """Return the line of the commit, and where in it the ops begin."""
        self._close_op()
        return encode_commit(seq, at, self._cuts, self._chunks)

    def places(self, ops_at: int) -> list[int]:
        """Return where the payloads of ``entries`` are, now that the ops begin at ``ops_at`` of the file."""
        return [pack(offset, size) for offset, size in payload_spans(self._cuts, ops_at)]

    # --- Within -----------------------------------------------------------------------------------

    def _add_task(self, op: str, queue: str, prefix: bytes, entry: Entry, data: bytes) -> None:
        if self._open == (op, queue):
            prefix = b"," + prefix
        else:
            self._close_op()
            prefix = b'%b{"op":"%b","queue":"%b","tasks":[%b' % (
                b"," if self._chunks else b"",
                op.encode(),
                queue.encode(),
                prefix,
            )
            self._open = (op, queue)
        self._chunks += (prefix, data, b"}")
        self._cuts += (self._gap + len(prefix), len(data))
        self.entries.append(entry)
        self._gap = 1

    def _close_op(self) -> None:
        if self._open is not None:
            self._open = None
            self._append(b"]}")
        elif self._noted is not None:
            op, queue, fields = self._noted
            self._noted = None
            if op == "remember":
                fields = {"tasks": [gone_fields(gone) for gone in fields["gone"]]}
            comma = b"," if self._chunks else b""
            ids = {"ids": self._ids} if self._ids else {}
            self._append(comma + orjson.dumps({"op": op, "queue": queue, **_given(**fields), **ids}))

    def _append(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._gap += len(chunk)


def options_fields(entry: Entry) -> dict[str, Any]:
    """Return the options of a task that are not the default ones."""
    options = entry.options
    if options is DEFAULT_OPTIONS:
        return {}
    return {
        name: value
        for name in _OPTION_FIELDS
        if (value := getattr(options, name)) != getattr(DEFAULT_OPTIONS, name)
    }


def entry_fields(entry: Entry) -> dict[str, Any]:
    """Return everything about a task but its payload, as a snapshot keeps it."""
    fields: dict[str, Any] = {"id": entry.task_id, "number": entry.number, "put_at": entry.put_at}
    if entry.state != READY:
        fields["state"] = STATES[entry.state]
    if entry.place != entry.number:
        fields["place"] = entry.place
    return {
        **fields,
        **_given(until=entry.until, token=entry.token, settled=entry.settled, error=entry.error),
        **({"failures": entry.failures} if entry.failures else {}),
        **({"deliveries": entry.deliveries} if entry.deliveries else {}),
        **options_fields(entry),
    }


def gone_fields(gone: Gone) -> dict[str, Any]:
    """Return what is remembered of a task that is gone."""
    return {
        **_given(id=gone.task_id, at=gone.at, payload_crc=gone.checksum, settled=gone.settled),
        **_given(deliveries=gone.deliveries or None, token=gone.token),
    }


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
