"""Reading an export into a store, some lines in one commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.commands import Load, LoadRemembered, LoadTask, Pause
from distqueue.errors import InvalidTask, Refused, StoreFull
from distqueue.results import Loaded
from distqueue.task import RememberedTask, TaskRecord
from distqueue.transfer.asking import Asker, asking
from distqueue.transfer.files import STANDARD, first_and_last_line, lines_of
from distqueue.transfer.lines import Content, Counts, check_header, decode_line

BATCH: Final = 1000
"""The most lines that are stored in one commit."""
BATCH_BYTES: Final = 1024 * 1024
"""A commit has no further line once its lines have so many bytes."""
MOST_REFUSED: Final = 100
"""So many refusals are kept to be shown; all are counted."""


class RefusedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that the store did not take, and why."""

    line: int
    reason: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an import.

    ``tasks`` and ``remembered`` are new in the store, ``duplicates`` were in it before. ``refused``
    counts those that the store did not take, ``refusals`` has the first hundred of them.
    ``is_whole`` is false if the end was missing.
    """

    tasks: int
    remembered: int
    duplicates: int
    paused: int
    refused: int
    refusals: list[RefusedLine]
    is_whole: bool


async def import_store(
    broker: Broker,
    queues: Sequence[str] | None,
    path: str,
    *,
    partial: bool = False,
    on_progress: Callable[[int], None] = lambda bytes_read: None,
) -> Imported:
    """Store what an export has (of ``queues`` only, unless that is ``None``), exactly as it was.

    ``path`` is a file, or ``"-"`` for the standard input. To import twice is the same as once: what
    is in the store already, or is remembered there, stays as it is. Queues that were paused are
    paused. A task that the store does not take (its unique key is taken, say) is counted and passed
    over. A line that is not one of an export ends the import; what stands before it is stored then,
    and it can be imported again once the line is mended.

    A truncated file is refused before anything is stored, a truncated standard input at its end;
    with ``partial``, what is there is taken. ``on_progress`` is called with the bytes read so far.

    Raises:
        ConfigError: the file cannot be read.
        UnsupportedFormat: it is not an export, or one of another format.
        InvalidTask: a line is not one of an export; the message has its number.
        Refused: the export is truncated, or (``StoreFull``) there is no room.
        StoreError, OutcomeUnknown: the store failed; import again.

    >>> asyncio.run(import_store(broker, None, "backup.jsonl")).duplicates     # doctest: +SKIP
    0
    """
    await check_export(path, partial=partial)
    with asking(broker) as asker:
        run = _Import(asker, queues, partial, _name_of(path))
        await _read(run, path, on_progress)
    run.check_end()
    return run.result()


async def _read(run: _Import, path: str, on_progress: Callable[[int], None]) -> None:
    async with aclosing(lines_of(path, on_progress)) as lines:
        try:
            async for raw, has_break in lines:
                await run.take(raw, has_break)
            await run.store()
        except InvalidTask as error:
            await run.store()
            raise InvalidTask(f"{error}; what stands before it is imported") from None


async def check_export(path: str, *, partial: bool = False) -> None:
    """Look at the ends of a file, to refuse it before a store is opened; other inputs pass.

    Raises:
        ConfigError: the file cannot be read.
        UnsupportedFormat: it is not an export, or one of another format.
        Refused: its closing line is missing, and ``partial`` is false.
    """
    if (ends := await first_and_last_line(path)) is None:
        return
    first, last = ends
    check_header(first, path)
    if not (partial or _is_end(last)):
        raise _truncated(path, "nothing was imported")


class _Import:
    """One import under way."""

    def __init__(self, asker: Asker, queues: Sequence[str] | None, partial: bool, name: str) -> None:
        self._asker = asker
        self._queues = queues
        self._partial = partial
        self._name = name
        self._most = min(BATCH, asker.capabilities.max_batch)
        self._batch: list[tuple[int, LoadTask | LoadRemembered | Pause]] = []
        self._bytes = self._line = 0
        self._lines: Counter[type[Content]] = Counter()
        self._end: Counts | None = None
        self._new: Counter[type] = Counter()
        self._duplicates = self._refused = 0
        self._refusals: list[RefusedLine] = []

    async def take(self, raw: bytes, has_break: bool) -> None:
        """Look at the next line, and store what has gathered if that is enough."""
        self._line += 1
        if self._line == 1:
            check_header(raw, self._name)
        elif raw and not raw.isspace():
            try:
                content = decode_line(raw, self._line)
            except InvalidTask:
                if has_break:
                    raise
                return  # torn at the end: the closing line is missing
            self._count(content)
            self._gather(content, len(raw))
            if len(self._batch) >= self._most or self._bytes >= BATCH_BYTES:
                await self.store()

    async def store(self) -> None:
        """Store what has gathered, in one commit."""
        batch, self._batch, self._bytes = self._batch, [], 0
        if not batch:
            return
        outcomes = await self._asker.ask([command for _, command in batch])
        for (line, command), outcome in zip(batch, outcomes):
            if isinstance(outcome, StoreFull):
                raise outcome
            if isinstance(outcome, InvalidTask):
                raise InvalidTask(f"line {line} is not one of an export: {outcome}")
            if isinstance(outcome, Refused):
                self._refuse(line, outcome)
            elif isinstance(outcome, Loaded) and outcome.duplicate:
                self._duplicates += 1
            else:
                self._new[_kind(command)] += 1

    def check_end(self) -> None:
        """Refuse an export that is not whole.

        Raises:
            Refused: the closing line is missing, or counts other lines than there were.
        """
        if not self._partial and not self._is_whole():
            raise _truncated(self._name, "what there is of it is imported")

    def result(self) -> Imported:
        """Return what came of it."""
        return Imported(
            tasks=self._new[TaskRecord],
            remembered=self._new[RememberedTask],
            duplicates=self._duplicates,
            paused=self._new[str],
            refused=self._refused,
            refusals=self._refusals,
            is_whole=self._is_whole(),
        )

    def _is_whole(self) -> bool:
        return self._end == Counts(
            tasks=self._lines[TaskRecord], remembered=self._lines[RememberedTask], paused=self._lines[str]
        )

    def _count(self, content: Content) -> None:
        if self._end is not None:
            raise InvalidTask(f"line {self._line} stands behind the closing line; remove it")
        if isinstance(content, Counts):
            self._end = content
        else:
            self._lines[type(content)] += 1

    def _gather(self, content: Content, size: int) -> None:
        if not isinstance(content, Counts) and self._is_wanted(content):
            command = Pause(queue=content) if isinstance(content, str) else Load.of(content)
            self._batch.append((self._line, command))
            self._bytes += size

    def _is_wanted(self, content: str | TaskRecord | RememberedTask) -> bool:
        queue = content if isinstance(content, str) else content.queue
        return self._queues is None or queue in self._queues

    def _refuse(self, line: int, reason: Refused) -> None:
        self._refused += 1
        if len(self._refusals) < MOST_REFUSED:
            self._refusals.append(RefusedLine(line=line, reason=str(reason)))


def _is_end(raw: bytes) -> bool:
    try:
        return isinstance(decode_line(raw, 0), Counts)
    except InvalidTask:
        return False


def _name_of(path: str) -> str:
    return "the standard input" if path == STANDARD else path


def _kind(command: LoadTask | LoadRemembered | Pause) -> type[Content]:
    return str if isinstance(command, Pause) else type(command.record)


def _truncated(name: str, outcome: str) -> Refused:
    return Refused(
        f"{name} is truncated: its closing line is missing, or counts other lines than there are; "
        f"{outcome}. Export again, or import with partial (--partial) what there is"
    )
