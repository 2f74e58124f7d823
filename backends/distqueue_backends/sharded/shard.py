"""One shard: an ordinary ``Queue.json`` beside others, with the bell of its directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from distqueue.commands import Ack, Command, Fence, Put
from distqueue.fences import EVERY, OPEN, FenceLevel, Fencing, around_new, next_fence, refusal
from distqueue.results import Outcome, Purged
from distqueue_backends.bell import Bell
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.sharded.options import SHARDED_CAPABILITIES, ShardedOptions
from distqueue_backends.sharded.outbox import OUTBOX, Forwarded, pack
from distqueue_backends.sharded.routing import key_of_put, shard_of
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.remembered import Gone
from distqueue_backends.table.steps import check_free, check_together

UNKNOWN: Final = 0
"""The priority by which a shard goes that has news: most tasks have this one."""


class Shard(JsonBackend):
    """A file of the store, and what is known of it without taking its lock."""

    def __init__(self, path: str, options: ShardedOptions, bell: Bell, number: int, count: int) -> None:
        self.number = number
        self._count = count
        self.handed_out = 0
        super().__init__(path, options, create=False, capabilities=SHARDED_CAPABILITIES, bell=bell)

    # --- What is known without the lock -----------------------------------------------------------

    def has_news(self) -> bool:
        """Whether somebody else may have changed it since this process last looked."""
        return not self._is_certain or self._directory.may_have_changed() or self._file.has_news()

    def first_priority(self, queue: str) -> int | None:
        """Return the priority of the task that is known to be next in line, ``None`` if there is none."""
        table = self.tables.get(queue)
        if self._fence_around(queue) is not OPEN:
            return UNKNOWN  # so that a claim comes here, and is told
        return None if table is None or table.paused else table.first_priority()

    def may_have_more(self, queue: str) -> bool:
        """Whether there may be more to claim than is known: something is due by now, or there is news."""
        wake_at = self.wake_at(queue)
        is_due = wake_at is not None and wake_at <= max(self.clock.wall(), self.clock.lease())
        return is_due or self.has_news()

    def wake_at(self, queue: str) -> float | None:
        """Return when a task of a queue may become claimable by itself."""
        table = self.tables.get(queue)
        return None if table is None or table.paused else table.wake_at()

    def known(self, queue: str, task_id: str) -> Entry | Gone | None:
        """Return what is known of a task, also of one that is gone."""
        table = self.tables.get(queue)
        if table is None:
            return None
        return table.tasks.get(task_id) or table.remembered.get(task_id, self.clock.wall())

    # --- What differs from a store of its own -----------------------------------------------------

    def set_time(self) -> None:
        super().set_time()
        self._handed_out = self.handed_out  # by the other shards, in the same call

    # --- Follow-up tasks for other shards ---------------------------------------------------------

    def is_ours(self, put: Put) -> bool:
        """Whether a task belongs into this shard."""
        return shard_of(key_of_put(put), self._count) == self.number

    def follow_ups(self, then: Sequence[Put]) -> Sequence[Put]:
        check_together(then)
        return [put if self.is_ours(put) else pack(put) for put in then]

    def _fence_around(self, queue: str) -> Fencing:
        table = self.tables.get(queue) or self.tables.get(EVERY)
        return OPEN if table is None else table.fence if table.name == queue else around_new(table.fence)

    def check_fence(self, fence: Fence) -> None:
        """Refuse a fence that cannot be put up here, given what is known.

        Raises:
            Refused: it cannot.
        """
        table = self.tables.get(fence.queue)
        now, has_tasks = (OPEN, False) if table is None else (table.fence, table.has_tasks())
        next_fence(fence.queue, now, fence.level, fence.note, has_tasks=has_tasks)

    def forward(self, put: Put) -> Outcome:
        """Store a follow-up task that another shard sends: a queue that is draining takes it too."""
        self.lets_in = (FenceLevel.DRAINING,)
        try:
            return self.apply([put])[0]
        finally:
            self.lets_in = ()

    def refuse(self, put: Put) -> bool:
        """Refuse a follow-up task that could not be stored here; return whether it is here already.

        Raises:
            Refused: the refusal with which it would be met.
        """
        fence = self._fence_around(put.queue)
        if fence.level not in (FenceLevel.NONE, FenceLevel.DRAINING):
            raise refusal(put.queue, fence)
        table = self.tables.get(put.queue)
        if table is None:
            return False
        if self._is_known(table, put):
            return True
        check_free(table, put.options)
        return False

    def check_ack(self, ack: Ack) -> None:
        """Refuse an ack that is no right command, or one of whose follow-up tasks is not.

        Raises:
            Refused: it is so.
        """
        self._checked_ack(ack)

    @property
    def outbox(self) -> QueueTable | None:
        """The tasks that are on their way from here to other shards, if there are any."""
        table = self.tables.get(OUTBOX)
        return table if table is not None and table.tasks else None

    def _one(self, command: Command) -> Outcome:
        if type(command) is Forwarded:
            for task_id in command.ids:
                self.cancel(OUTBOX, task_id)
            return Purged(count=len(command.ids))
        return super()._one(command)
