"""What a user puts, made into commands: payloads and options become :class:`Put`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, repeat
from operator import length_hint
from typing import Any, Final, TypedDict, cast

import msgspec

from distqueue.commands import Put
from distqueue.errors import InvalidTask, Refused
from distqueue.ids import new_task_id, new_task_ids
from distqueue.limits import MAX_BATCH_BYTES, check_task_id
from distqueue.options import choices
from distqueue.payload import Payload, encode
from distqueue.results import Outcome
from distqueue.times import Duration, epoch, seconds

IDS_AT_ONCE: Final = 1000
"""The most task ids that are made in one go."""


class PutOptions(TypedDict, total=False):
    """What can be said about a task besides its payload. All of it is optional.

    ``task_id``: a name of your own; a second task with it is not stored (default: a UUIDv7).
    ``delay`` (seconds or ``timedelta``) or ``due`` (a ``datetime`` with a time zone): not before then.
    ``priority``: 0 to 31, higher first (default 0).
    ``max_attempts``: after so many failures the task is dead; ``None``: never (default 5).
    ``expires_in``: gone if nobody has claimed it by then (seconds or ``timedelta``).
    ``keep_done``: how long ``find`` still finds it once done (seconds or ``timedelta``, default 0).
    ``group``: tasks of one group are handed out one after another, in the order of putting.
    ``unique``: refused while another live task has this key.
    ``publisher_id``: who put it. ``headers``: names and values, carried along.
    """

    task_id: str | None
    delay: Duration | None
    due: datetime | None
    priority: int
    max_attempts: int | None
    expires_in: Duration | None
    keep_done: Duration
    group: str | None
    unique: str | None
    publisher_id: str | None
    headers: dict[str, str] | None


class Putter:
    """Makes the puts of one queue; ``max_attempts`` and ``keep_done`` are its defaults."""

    def __init__(self, queue: str, max_attempts: int | None = 5, keep_done: float = 0.0) -> None:
        self._queue = queue
        self._defaults: dict[str, Any] = {"max_attempts": max_attempts, "keep_done": keep_done}
        self._plain = Put.make(queue, "", b"", **self._defaults)

    def one(self, data: object, options: PutOptions) -> Put:
        """Make one put.

        Raises:
            InvalidTask: the payload cannot be written as JSON, or an option is not what it has to be.
        """
        return self.of(encode(data), options)

    def made(self, data: object, options: PutOptions) -> Put:
        """Make one put, or return ``data`` if it is one already, with options of its own.

        Raises:
            InvalidTask: as :meth:`one`, or options are given for a task that has its own.
        """
        if type(data) is not Put:
            return self.one(data, options)
        if options:
            raise InvalidTask(f"task {data.task_id} is made already; give its options to queue.task(…)")
        return data

    def of(self, payload: Payload, options: PutOptions) -> Put:
        """Make one put of a payload that is encoded already.

        Raises:
            InvalidTask: an option is not what it has to be.
        """
        template = self._template(options) if options else self._plain
        return _filled(template, template.task_id or new_task_id(), payload)

    def batches(
        self, items: Iterable[object], options: PutOptions, max_batch: int
    ) -> Iterator[list[Put | InvalidTask]]:
        """Make a put of each payload, or say what is wrong with it; what is a put already stays.

        What is yielded is within the limits of one call of ``apply``.

        Raises:
            InvalidTask: an option is not what it has to be.
        """
        if isinstance(items, str | bytes | Mapping):
            raise InvalidTask(f"the payloads are one {type(items).__name__}; give a list of payloads")
        template = self._template(options) if options else self._plain
        if template.task_id:
            raise InvalidTask("task_id names one task; give queue.task(data, task_id=…) among the payloads")
        return batches(_made(template, items), max_batch)

    def _template(self, options: PutOptions) -> Put:
        """Check the options' types, make durations seconds, and return them as a put without a payload."""
        fields = self._defaults | _checked(options)
        for name in ("delay", "expires_in", "keep_done"):
            if fields.get(name) is not None:
                fields[name] = seconds(name, fields[name])
        if fields.get("due") is not None:
            fields["due"] = epoch("due", fields["due"])
        task_id = fields.pop("task_id", None)
        return Put.make(self._queue, "" if task_id is None else check_task_id(task_id), b"", **fields)


def _filled(template: Put, task_id: str, data: Payload) -> Put:
    return Put(
        queue=template.queue,
        task_id=task_id,
        data=data,
        options=template.options,
        delay=template.delay,
        due=template.due,
    )


def _made(template: Put, items: Iterable[object]) -> Iterator[Put | InvalidTask]:
    queue, options, delay, due = template.queue, template.options, template.delay, template.due
    for item, task_id in zip(items, _endless_ids(length_hint(items, 1))):
        if type(item) is Put:
            yield item
            continue
        try:
            data = encode(item)
        except InvalidTask as fault:
            yield fault
        else:
            yield Put(queue=queue, task_id=task_id, data=data, options=options, delay=delay, due=due)


def batches(
    puts: Iterable[Put | InvalidTask], max_batch: int, max_bytes: int = MAX_BATCH_BYTES
) -> Iterator[list[Put | InvalidTask]]:
    """Split puts so that each part is within the limits of one call of ``apply``."""
    batch: list[Put | InvalidTask] = []
    left, room = max_batch, max_bytes
    for put in puts:
        if type(put) is Put:
            room -= len(put.data)
        if not left or (room < 0 and batch):
            yield batch
            batch, left = [], max_batch
            room = max_bytes - (len(put.data) if type(put) is Put else 0)
        batch.append(put)
        left -= 1
    if batch:
        yield batch


def good_puts(batch: Sequence[Put | InvalidTask]) -> list[Put]:
    """Return those of a batch that can be sent to the store."""
    return [put for put in batch if type(put) is Put]


def merged(batch: Sequence[Put | InvalidTask], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes of a batch by position, those that never reached the store among them."""
    if len(batch) == len(outcomes):
        return list(outcomes)
    answered = iter(outcomes)
    return [put if isinstance(put, Refused) else next(answered) for put in batch]


def _endless_ids(expected: int) -> Iterator[str]:
    at_once = min(max(expected, 1), IDS_AT_ONCE)
    return chain.from_iterable(map(new_task_ids, repeat(at_once)))


def check_put_options(options: Mapping[str, object]) -> None:
    """Refuse options of a task that are not what they have to be, before there is a task.

    Raises:
        InvalidTask: one is not what it has to be, or there is none of this name.
    """
    names = PutOptions.__annotations__
    for name in options:
        if name not in names:
            raise InvalidTask(f"a task has no option {name!r}; {choices(name, names)}")
    _checked(cast(PutOptions, dict(options)))


def _checked(options: PutOptions) -> dict[str, Any]:
    names = PutOptions.__annotations__
    if unknown := options.keys() - names.keys():
        raise TypeError(f"a task has no option {min(unknown)!r}; it has: {', '.join(names)}")
    try:
        return dict(msgspec.convert(options, PutOptions, builtin_types=(datetime, timedelta)))
    except msgspec.ValidationError as error:
        raise InvalidTask(f"an option of the task is not what it has to be: {error}") from None
