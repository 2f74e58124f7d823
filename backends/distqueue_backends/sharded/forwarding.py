"""Bringing follow-up tasks from the outbox of an ack's shard into their own.

One process at a time does it, under the lock of the store, so that nobody stores a follow-up task that
another has stored before, and that may be done and forgotten by now.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from distqueue.commands import Ack, LoadTask, Put, Stats
from distqueue.errors import OutcomeUnknown, Refused, ShardUnavailable, StoreError, StoreFull
from distqueue.ids import new_task_id, parse_receipt
from distqueue.limits import check_types
from distqueue.results import Loaded, Outcome, Settled, Stored
from distqueue_backends.lock import StoreLock
from distqueue_backends.sharded.claims import Ask
from distqueue_backends.sharded.locating import look
from distqueue_backends.sharded.outbox import Forwarded, dead_record, unpack
from distqueue_backends.sharded.routing import key_of_put, shard_of
from distqueue_backends.sharded.shard import Shard
from distqueue_backends.sharded.shards import Shards

_log: Final = logging.getLogger("distqueue")


class Forwarding:
    """Sends follow-up tasks to their shards."""

    def __init__(self, shards: Shards, lock: StoreLock) -> None:
        self._shards = shards
        self._lock = lock

    def begin(self) -> None:
        """Take the lock of the store.

        Raises:
            StoreBusy, StoreServed: somebody else has it.
        """
        self._lock.acquire()

    def end(self) -> None:
        """Give the lock up."""
        self._lock.release()

    # --- An ack -----------------------------------------------------------------------------------

    def concerns(self, ack: Ack) -> bool:
        """Whether a follow-up task of an ack may belong to another shard than that of the ack."""
        with suppress(Refused):
            check_types(ack)
            task_id, _, token = parse_receipt(ack.receipt)
            source = look(self._shards, ack.queue, task_id, token)
            return source is None or not all(source.is_ours(put) for put in ack.then)
        return False  # it is refused anyway

    def expect(self, ack: Ack, source: Shard, ask: Ask) -> list[bool]:
        """Tell of each follow-up task whether it is there already.

        Raises:
            Refused: one could not be stored; nothing was changed.
        """
        source.check_ack(ack)
        return [self._is_there(put, ask) for put in ack.then]

    def _is_there(self, put: Put, ask: Ask) -> bool:
        shard = self._shard_of(put)
        answer = ask(shard, [Stats(queue=put.queue)])[0]  # what has run out is gone, and what is new is known
        if isinstance(answer, Refused):
            raise answer
        return shard.refuse(put)

    def answer(self, ack: Ack, answer: Outcome, known: Sequence[bool]) -> Outcome:
        """Return what is answered to an ack: of follow-up tasks that were sent on, what they are."""
        if not isinstance(answer, Settled):
            return answer
        then = [
            Stored(task_id=put.task_id, duplicate=stored.duplicate or was_known)
            for put, stored, was_known in zip(ack.then, answer.then, known)
        ]
        return Settled(task_id=answer.task_id, state=answer.state, until=answer.until, then=tuple(then))

    # --- Sending on -------------------------------------------------------------------------------

    def forward_leftovers(self) -> None:
        """Send on what was left behind, unless somebody is doing so."""
        for shard in self._shards:
            if shard.outbox is not None and self._lock.try_acquire():
                try:
                    with suppress(StoreError, OutcomeUnknown):
                        shard.apply([])  # what is there now
                        self.forward(shard)
                finally:
                    self._lock.release()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """See to it that no follow-up task is on its way, until the block ends.

        Raises:
            ShardUnavailable: one cannot be brought to its shard.
            StoreBusy, StoreServed: somebody else has the lock of the store.
        """
        self.begin()
        try:
            for shard in self._shards:
                shard.apply([])  # what is there now
                self.forward(shard)
                if shard.outbox is not None:
                    raise ShardUnavailable(
                        f"follow-up tasks in {shard.path} cannot be brought to their shards yet, the log "
                        "says why; mend that and try again"
                    )
            yield
        finally:
            self.end()

    def forward(self, source: Shard) -> None:
        """Send on what is in the outbox of a shard. The lock is held, and all of it is on the disk.

        What cannot be sent now stays there for another time.
        """
        table = source.outbox
        if table is None:
            return
        entries = sorted(table.tasks.values(), key=lambda entry: entry.number)
        now = source.clock.wall()
        sent: list[str] = []
        for entry, data in zip(entries, source.payloads(table, entries)):
            try:
                if self._send(unpack(entry, data, now), now):
                    sent.append(entry.task_id)
            except (ShardUnavailable, StoreError, OutcomeUnknown) as error:
                _log.warning("%s: follow-up task %s waits: %s", source.path, entry.task_id, error)
        with suppress(StoreError):
            source.write([Forwarded(queue=table.name, ids=sent)] if sent else [])

    def _send(self, put: Put, now: float) -> bool:
        """Store a follow-up task in its shard, as a dead one if that refuses it; tell whether it is there."""
        shard = self._shard_of(put)
        outcome = shard.forward(put)
        if isinstance(outcome, StoreFull):
            return False
        if not isinstance(outcome, Refused):
            return True
        reason = f"it followed an ack, and could not be stored: {outcome}"
        for task_id in (put.task_id, new_task_id()):  # the first may be that of another task
            record = dead_record(put, task_id, reason, now)
            answer = shard.apply([LoadTask(queue=put.queue, record=record)])[0]
            if isinstance(answer, Loaded) and not answer.duplicate:
                break
        return isinstance(answer, Loaded)

    def _shard_of(self, put: Put) -> Shard:
        return self._shards[shard_of(key_of_put(put), self._shards.count)]
