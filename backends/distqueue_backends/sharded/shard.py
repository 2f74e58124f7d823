"""One shard: an ordinary ``Queue.json`` beside others, with the bell of its directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from distqueue.commands import Ack, Command, Put
from distqueue.fences import EVERY, OPEN, FenceLevel, refusal
from distqueue.results import Counted, Outcome, Purged, Stored
from distqueue_backends.bell import Bell
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.sharded.options import SHARDED_CAPABILITIES, ShardedOptions
from distqueue_backends.sharded.outbox import OUTBOX, Forwarded, pack
from distqueue_backends.sharded.routing import key_of_put, shard_of
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.remembered import Gone
from distqueue_backends.table.steps import check_free, check_together


class Shard(JsonBackend):
    """A file of the store, and what is known of it without taking its lock."""

    def __init__(
        self,
        path: str,
        options: ShardedOptions,
        bell: Bell,
        number: int,
        count: int,
        is_known_elsewhere: Callable[[str], bool],
    ) -> None:
        self.number = number
        self._is_known_elsewhere = is_known_elsewhere
        self._count = count
        self.handed_out = 0
        self._follows = False
        super().__init__(path, options, create=False, capabilities=SHARDED_CAPABILITIES, bell=bell)

    # --- What is known without the lock -----------------------------------------------------------

    def has_news(self) -> bool:
        """Whether somebody else may have changed it since this process last looked."""
        return not self._is_certain or self._directory.may_have_changed() or self._file.has_news()

    def first_priority(self, queue: str) -> int | None:
        """Return the priority of the task that is known to be next in line, ``None`` if there is none."""
        table = self.tables.get(queue)
        return None if table is None or table.paused else table.first_priority()

    def may_have_more(self, queue: str) -> bool:
        """Whether there may be more to claim than is known, or a refusal to be heard.

        Something is due by now, there is news, or a fence.
        """
        wake_at = self.wake_at(queue)
        is_due = wake_at is not None and wake_at <= max(self.clock.wall(), self.clock.lease())
        return is_due or self.has_news() or self.is_fenced(queue)

    def is_fenced(self, queue: str) -> bool:
        """Whether a claim in a queue may be refused, as that is moving."""
        table = self.tables.get(queue) or self.tables.get(EVERY)
        return table is not None and table.fence is not OPEN

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

    def is_new(self, queue: str) -> bool:
        return not self._is_known_elsewhere(queue)

    def set_time(self) -> None:
        super().set_time()
        self._handed_out = self.handed_out  # by the other shards, in the same call

    def stats(self, queue: str) -> Counted:
        counted = super().stats(queue)
        return Counted(queues=[each for each in counted.queues if each.queue != OUTBOX], store=counted.store)

    # --- Follow-up tasks for other shards ---------------------------------------------------------

    def is_ours(self, put: Put) -> bool:
        """Whether a task belongs into this shard."""
        return shard_of(key_of_put(put), self._count) == self.number

    def follow_ups(self, then: Sequence[Put]) -> Sequence[Put]:
        check_together(then)
        return [put if self.is_ours(put) else pack(put) for put in then]

    def refuse(self, put: Put) -> bool:
        """Refuse a follow-up task that could not be stored here; return whether it is here already.

        Raises:
            Refused: the refusal with which it would be met.
        """
        table = self.tables.get(put.queue)
        every = self.tables.get(EVERY)
        if table is None:
            if every is not None and every.fence is not OPEN:
                raise refusal(put.queue, every.fence)
            return False
        self._open(table, FenceLevel.DRAINING)
        if self._is_known(table, put):
            return True
        check_free(table, put.options)
        return False

    def follow(self, put: Put) -> Outcome:
        """Store a follow-up task, which belongs to a delivery that is settled while its queue is drained."""
        self._follows = True
        try:
            return self.apply([put])[0]
        finally:
            self._follows = False

    def _store(self, put: Put) -> Stored:
        if not self._follows:
            return super()._store(put)
        table = self._open(self.table(put.queue, create=True), FenceLevel.DRAINING)
        return self._store_in(table, put)

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
