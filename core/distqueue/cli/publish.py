"""``put``: one task from the command line, or one a line from the standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer

from distqueue.cli.errors import ExitCode, complain, note
from distqueue.cli.lines import Arrival, arriving, size_of
from distqueue.cli.options import QueueName, Url
from distqueue.cli.output import counted, flush, print_line
from distqueue.cli.progress import progress
from distqueue.cli.store import Store, open_store
from distqueue.cli.times import typed_time
from distqueue.commands import Put
from distqueue.errors import InvalidTask, OutcomeUnknown, Refused, StoreError
from distqueue.ids import new_task_id
from distqueue.outcomes import expect
from distqueue.payload import Payload, check
from distqueue.request import batches, good_puts, merged
from distqueue.results import Outcome, Stored


def put(
    data: Annotated[
        str, typer.Argument(metavar="DATA|-", help="The task's data as JSON; - reads one task a line.")
    ] = "-",
    url: Url = None,
    queue: QueueName = "default",
    task_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="A name of your own: put twice, stored once.")
    ] = None,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="Not before so long.")] = None,
    due: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before then, such as 2030-01-31T08:00:00+01:00.")
    ] = None,
    priority: Annotated[int, typer.Option(metavar="0-31", help="Higher goes first.")] = 0,
    max_attempts: Annotated[
        str | None,
        typer.Option(metavar="N", help="Dead after so many failures, or 'unlimited'.  [default: 5]"),
    ] = None,
    expires_in: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Gone if nobody has got it by then.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Tasks of a group are handed out one after another.")
    ] = None,
    unique: Annotated[
        str | None, typer.Option(metavar="KEY", help="Refused while another live task has this key.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header; may be repeated.")
    ] = None,
    keep_done: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long `show` finds it once done.  [default: 0]"),
    ] = None,
    publisher_id: Annotated[str | None, typer.Option(metavar="NAME", help="Who puts it.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print the ids.")] = False,
) -> None:
    """Put tasks and print their ids.

    One task from the command line, or one for each line of the standard input. The store is created
    if there is none.
    """
    if task_id is not None and data == "-":
        raise typer.BadParameter("an id names one task: give its data as the argument, not as lines")
    options: dict[str, Any] = {
        "delay": delay,
        "due": None if due is None else typed_time("--due", due),
        "priority": priority,
        "expires_in": expires_in,
        "group": group,
        "unique": unique,
        "publisher_id": publisher_id,
        "headers": _headers(header),
    }
    if max_attempts is not None:
        options["max_attempts"] = _max_attempts(max_attempts)
    if keep_done is not None:
        options["keep_done"] = keep_done
    payload = None if data == "-" else _payload(data)
    with open_store(url, queue, create=True) as store:
        publisher = _Publisher(store, queue, options, quiet)
        if payload is None:
            publisher.put_lines()
        else:
            publisher.put_one(new_task_id() if task_id is None else task_id, payload)


class _Publisher:
    """Puts tasks that all have the same options, and prints their ids."""

    def __init__(self, store: Store, queue: str, options: dict[str, Any], quiet: bool) -> None:
        self._store = store
        settings = store.settings
        defaults = {"max_attempts": settings.max_attempts, "keep_done": settings.keep_done}
        self._template = Put.make(queue, "", b"", **{**defaults, **options})
        self._quiet = quiet
        self._refused = 0

    def put_one(self, task_id: str, data: Payload) -> None:
        """Put a task.

        Raises:
            DistqueueError: it is not stored, or perhaps not.
        """
        put = self._put(task_id, data)
        try:
            outcome = self._store.broker.apply([put])[0]
        except OutcomeUnknown as error:
            raise type(error)(f"{error}. Its id is {task_id} (--id)") from error
        with _shown(f"task {task_id} is stored"):
            self._show(expect(outcome, Stored))

    def put_lines(self) -> None:
        """Put what arrives on the standard input, as much in one commit as has arrived."""
        if sys.stdin.isatty():
            note("reading tasks from the terminal, one JSON value a line; Ctrl-D ends")
        source = sys.stdin.fileno()
        is_shown = self._quiet or not sys.stdout.isatty()
        with progress("put", size_of(source), in_bytes=True, is_shown=is_shown) as on_progress:
            for arrival in arriving(source):
                self._put_arrival(arrival)
                on_progress(arrival.bytes_read)
        if self._refused:
            complain(f"{counted(self._refused, 'line')} refused; the others are stored")
            raise typer.Exit(ExitCode.REFUSED)

    def _put_arrival(self, arrival: Arrival) -> None:
        numbers = iter(arrival.lines)
        puts = [self._put_or_fault(line) for _, line in arrival.lines]
        for batch in batches(puts, self._store.broker.capabilities.max_batch):
            self._put_batch([next(numbers)[0] for _ in batch], batch)

    def _put_batch(self, numbers: Sequence[int], batch: Sequence[Put | InvalidTask]) -> None:
        try:
            answered = self._store.broker.apply(good_puts(batch))
        except (StoreError, OutcomeUnknown) as error:
            raise type(error)(f"lines {numbers[0]} to {numbers[-1]}: {error}") from error
        with _shown(f"the lines up to {numbers[-1]} were put, and no more"):
            for number, outcome in zip(numbers, merged(batch, answered)):
                self._show_line(number, outcome)

    def _put_or_fault(self, line: bytes) -> Put | InvalidTask:
        try:
            return self._put(new_task_id(), line)
        except InvalidTask as fault:
            return fault

    def _put(self, task_id: str, data: bytes) -> Put:
        return msgspec.structs.replace(self._template, task_id=task_id, data=check(data))

    def _show_line(self, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            self._refused += 1
            complain(f"line {number}: {outcome}")
        else:
            self._show(expect(outcome, Stored))

    def _show(self, stored: Stored) -> None:
        if stored.duplicate:
            note(f"duplicate: {stored.task_id} was put before; nothing was stored")
        if not self._quiet:
            print_line(stored.task_id)


@contextmanager
def _shown(done: str) -> Iterator[None]:
    """Print something; where that cannot be written, say what was done, which must not be done again."""
    try:
        yield
        flush()
    except OSError as error:
        complain(f"{error}; {done}")
        raise typer.Exit(ExitCode.UNKNOWN) from error


def _payload(data: str) -> Payload:
    try:
        return check(data.encode(errors="surrogateescape"))
    except InvalidTask as error:
        raise InvalidTask(f"{error}; text needs quotes of its own, as in put '\"hello\"'") from None


def _headers(pairs: Sequence[str] | None) -> dict[str, str] | None:
    headers: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r:.80} is not NAME=VALUE", param_hint="--header")
        headers[name] = value
    return headers or None


def _max_attempts(text: str) -> int | None:
    if text != "unlimited" and not (text.isdecimal() and int(text)):
        raise typer.BadParameter(
            f"{text!r:.80}; use a whole number, 1 or more, or 'unlimited'", param_hint="--max-attempts"
        )
    return None if text == "unlimited" else int(text)
