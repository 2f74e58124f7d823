"""Moving queues to another store: whatever interrupts it, the same move goes on where it was.

1. The source is fenced (``draining``): publishers and consumers are told where the queue goes, and what is
   out is settled. The destination is fenced too (``filling``), and has to be empty.
2. When nothing is out any more, the source stands still (``frozen``).
3. Its tasks and remembered ids are loaded into the destination, which knows those that it has already.
4. Both are counted and hashed, and have to be the same.
5. The source has ``moved``, for good, and then the destination is opened.

Each step can be taken again. Until 5 the source has everything, and :func:`undo_move` takes all back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from distqueue.capabilities import Ordering
from distqueue.commands import Load, Pause
from distqueue.errors import Moved, MoveFailed, Refused, TaskNotFound
from distqueue.fences import EVERY, FenceLevel, Fencing, refusal
from distqueue.limits import check_queue_name
from distqueue.outcomes import expect
from distqueue.results import Loaded, PauseSet, QueueStats
from distqueue.task import RememberedTask, TaskRecord
from distqueue.transfer.checking import check_task
from distqueue.transfer.comparing import Content, differences
from distqueue.transfer.ends import End, missing_features
from distqueue.transfer.pages import pages_of_memory, pages_of_tasks, parts_of

LOOK_EVERY: Final = 0.25
"""How often it is asked whether tasks are still out, in seconds."""

NONE, DRAINING, FROZEN = FenceLevel.NONE, FenceLevel.DRAINING, FenceLevel.FROZEN
MOVED, FILLING = FenceLevel.MOVED, FenceLevel.FILLING

type OnProgress = Callable[[str, int, int], None]
"""Is told what is being done, how far that has got, and of how much."""


class MovedQueue(msgspec.Struct, frozen=True, kw_only=True):
    """What was moved of a queue, and its hash; ``is_old`` if an earlier move had brought all of it there."""

    queue: str
    tasks: int = 0
    remembered: int = 0
    hash: str = ""
    is_old: bool = False


def move_store(
    source: End,
    target: End,
    queues: Sequence[str] | None = None,
    *,
    now: bool = False,
    on_progress: OnProgress = lambda what, done, total: None,
) -> list[MovedQueue]:
    """Move queues (``None``: all, and none can be made at the source any more) to another store.

    Returns once all is there and both ends were found to be the same. The source is kept, fenced. Tasks
    that are out are waited for; with ``now`` they move with their leases, and are settled there. To move
    again after an interruption finishes it, and after that changes nothing.

    Raises:
        TaskNotFound: there is no such queue.
        Moved: a queue is moving elsewhere, or is being filled.
        Refused: a queue of the destination has tasks, or the destination does not take a task.
        MoveFailed: the ends are not the same.
        StoreError, OutcomeUnknown: a store failed; move again.

    >>> move_store(End(old, "json:////srv/Queue.json"), End(new, "sqlite:////srv/jobs.db"))  # doctest: +SKIP
    """
    return _Move(source, target, queues, now, on_progress).run()


class _Move:
    """One move under way."""

    def __init__(
        self, source: End, target: End, queues: Sequence[str] | None, now: bool, on_progress: OnProgress
    ) -> None:
        self._source = source
        self._target = target
        self._wanted = queues
        self._now = now
        self._on_progress = on_progress
        self._places = all(end.capabilities.ordering is Ordering.QUEUE for end in (source, target))
        windows = [end.capabilities.dedup_window for end in (source, target)]
        self._since = time.time() - min(float("inf") if each is None else each for each in windows)
        """What went before is remembered by one of them no longer."""

    def run(self) -> list[MovedQueue]:
        """Move, and return what came of it."""
        self._check(self._queues())
        if self._wanted is None:
            self._source.must_fence([EVERY], DRAINING, self._target)
        queues = self._queues()  # and no others from now on
        old = [queue for queue in queues if self._is_verified(queue)]
        new = [queue for queue in queues if queue not in old]
        self._fence(new)
        for queue in new:  # all of them first: an ack may have a follow-up task for another queue
            self._drain(queue)
        moved = [self._move(queue) for queue in new]
        self._finish(queues)
        return moved + [MovedQueue(queue=queue, is_old=True) for queue in old]

    # --- Before anything is done ------------------------------------------------------------------

    def _queues(self) -> list[str]:
        there = self._source.queues()
        if self._wanted is None:
            return there
        for name in self._wanted:
            if check_queue_name(name) not in there:
                raise TaskNotFound(f"there is no queue {name} in {self._source.name}")
        return list(dict.fromkeys(self._wanted))

    def _check(self, queues: Sequence[str]) -> None:
        """Refuse what can be seen to fail, before anything is fenced."""
        level, note = self._target.fence_of_all()
        if level is not NONE and note != self._source.name:
            raise Moved(f"{self._target.name} has itself moved to {note}; move there")
        for queue in queues:
            self._check_fences(self._source.stats(queue), self._target.stats(queue))
        if missing := missing_features(self._source.capabilities, self._target.capabilities):
            for queue in queues:
                self._check_tasks(queue, missing)

    def _check_fences(self, here: QueueStats, there: QueueStats) -> None:
        queue, source, target = here.queue, self._source, self._target
        if here.fence is MOVED and here.fence_note != target.name:
            raise Moved(f"queue {queue} of {source.name} has moved to {here.fence_note}; move it from there")
        if here.fence is FILLING or (here.fence is not NONE and here.fence_note != target.name):
            raise Moved(
                f"at {source.name}: {refusal(queue, Fencing(here.fence, here.fence_note))}; finish that move "
                "first, or take it back with --undo"
            )
        if here.fence is MOVED:
            return
        if there.fence not in (NONE, FILLING, MOVED) or (
            there.fence is not NONE and there.fence_note != source.name
        ):
            raise Moved(f"at {target.name}: {refusal(queue, Fencing(there.fence, there.fence_note))}")
        if there.fence is NONE and (count := _tasks_of(there)):
            raise Refused(
                f"queue {queue} of {target.name} has tasks ({count}), and what is moved must not be mixed "
                "with them; move to another store, or purge them first"
            )
        if here.fence is NONE and there.fence is FILLING:  # the rest of a move that was taken back
            target.clear([queue])

    def _check_tasks(self, queue: str, missing: Sequence[str]) -> None:
        for page in pages_of_tasks(self._source.broker, queue):
            for task in page:
                try:
                    check_task(task, self._target.capabilities)
                except Refused as error:
                    raise Refused(
                        f"task {task.task_id} of queue {queue} cannot be kept by {self._target.name}, which "
                        f"has less than the source ({', '.join(missing)}): {error}; nothing was moved"
                    ) from error

    # --- The steps --------------------------------------------------------------------------------

    def _is_verified(self, queue: str) -> bool:
        here = self._source.stats(queue)
        return here.fence is MOVED and here.fence_note == self._target.name

    def _fence(self, queues: Sequence[str]) -> None:
        """Fence both ends; if one cannot be, those that were open before are opened again."""
        fresh = [queue for queue in queues if self._source.stats(queue).fence is NONE]
        stale = [queue for queue in fresh if self._target.stats(queue).fence is MOVED]
        try:
            self._source.must_fence(queues, DRAINING, self._target)
            self._target.must_fence(queues, FILLING, self._source)
        except Refused:
            self._target.fence(stale, MOVED, self._source)
            self._target.fence(set(fresh) - set(stale), NONE, self._source)
            self._source.fence(fresh, NONE, self._target)
            if self._wanted is None and len(fresh) == len(queues):
                self._source.fence([EVERY], NONE, self._target)
            raise

    def _move(self, queue: str) -> MovedQueue:
        self._freeze(queue)
        stats = self._source.stats(queue)
        if stats.paused:
            expect(self._target.broker.apply([Pause(queue=queue)])[0], PauseSet)
        self._copy_tasks(queue, _tasks_of(stats))
        for gone in self._memory(queue):
            self._load(queue, gone)
        content = self._compare(queue, 2 * _tasks_of(stats))
        remembered = content.counts.pop("remembered", 0)
        return MovedQueue(queue=queue, tasks=content.counts.total(), remembered=remembered, hash=content.hash)

    def _drain(self, queue: str) -> None:
        """Wait until nothing is out."""
        stats = self._source.stats(queue)
        most = stats.leased
        while stats.leased and stats.fence is DRAINING and not self._now:
            most = max(most, stats.leased)
            self._on_progress(f"wait for tasks of {queue} that are out", most - stats.leased, most)
            time.sleep(LOOK_EVERY)
            stats = self._source.stats(queue)

    def _freeze(self, queue: str) -> None:
        """Let the source stand still; who finds that it has moved by now is not alone."""
        if self._source.must_fence([queue], FROZEN, self._target) != [FROZEN]:
            raise Moved(
                f"queue {queue} has moved to {self._target.name} meanwhile, by the same command in another "
                "process; run it again to see that all is done"
            )

    def _copy_tasks(self, queue: str, total: int) -> None:
        done = 0
        for page in pages_of_tasks(self._source.broker, queue):
            self._load(queue, page)
            done += len(page)
            self._on_progress(f"copy {queue}", done, total)

    def _load(self, queue: str, records: Sequence[TaskRecord | RememberedTask]) -> None:
        for part in parts_of(records, self._target.capabilities.max_batch):
            outcomes = self._target.broker.apply([Load.of(record, self._source.name) for record in part])
            for record, outcome in zip(part, outcomes):
                if isinstance(outcome, Moved):
                    raise outcome
                if isinstance(outcome, Refused):
                    raise Refused(
                        f"{self._target.name} does not take task {record.task_id} of queue {queue}: "
                        f"{outcome}. Nothing is lost: both ends stay fenced. Move again once that is "
                        "mended, or take all back with --undo"
                    ) from outcome
                expect(outcome, Loaded)

    def _memory(self, queue: str) -> Iterator[list[RememberedTask]]:
        """Go through the ids that both ends remember: the newest ones."""
        limits = [self._source.remembers, self._target.capabilities.dedup_max]
        most = min(float("inf") if each is None else each for each in limits)
        extra = 0
        if self._source.stats(queue).remembered >= most:  # and there may be others that it counts no longer
            extra = sum(map(len, pages_of_memory(self._source.broker, queue, self._since))) - int(most)
        for page in pages_of_memory(self._source.broker, queue, self._since):
            yield list(islice(page, max(extra, 0), None))
            extra -= len(page)

    def _compare(self, queue: str, total: int) -> Content:
        """Count and hash both ends, and return what they hold."""
        here, there = Content(places=self._places), Content(places=self._places)
        done = 0
        for content, end in ((here, self._source), (there, self._target)):
            for page in pages_of_tasks(end.broker, queue):
                content.add_tasks(page)
                done += len(page)
                self._on_progress(f"verify {queue}", done, total)
        for gone in self._memory(queue):
            here.add_memory(gone)
        for gone in pages_of_memory(self._target.broker, queue, self._since):
            there.add_memory(gone)
        is_paused = [end.stats(queue).paused for end in (self._source, self._target)]
        if here != there or is_paused[0] != is_paused[1]:
            raise self._unlike(queue, here, there)
        return here

    def _unlike(self, queue: str, here: Content, there: Content) -> MoveFailed:
        found = differences(self._source.broker, self._target.broker, queue, places=self._places)
        counts = f"{dict(sorted(here.counts.items()))} here, {dict(sorted(there.counts.items()))} there"
        return MoveFailed(
            f"queue {queue} is not the same at {self._target.name} ({counts}): "
            f"{'; '.join(found) or 'the tasks are, but not their order, the remembered ids or the pause'}. "
            "The source has everything, and both ends stay fenced: take it back with --undo, and report this"
        )

    def _finish(self, queues: Sequence[str]) -> None:
        """Close the source for good, then open the destination."""
        source, target = self._source, self._target
        source.must_fence(queues, MOVED, target)
        filled = [queue for queue in queues if _is_filled_by(source, target.stats(queue))]
        target.must_fence(filled, NONE, source)
        if self._wanted is None:
            source.must_fence([EVERY], MOVED, target)
            if target.fence_of_all()[1] == source.name:  # it comes back from where it went
                target.must_fence([EVERY], NONE, source)


def _is_filled_by(source: End, stats: QueueStats) -> bool:
    return stats.fence is FILLING and stats.fence_note == source.name


def _tasks_of(stats: QueueStats) -> int:
    return stats.ready + stats.scheduled + stats.leased + stats.done + stats.dead
