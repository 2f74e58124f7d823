"""Whether a receipt still counts: the fence against consumers that come too late."""

from __future__ import annotations

from distqueue.errors import AlreadySettled, LeaseLost, TaskGone
from distqueue.ids import parse_receipt
from distqueue_backends.table.entry import LEASED, Entry
from distqueue_backends.table.queue_table import QueueTable


class Repeated(Exception):
    """The same verb was carried out with this receipt before: the answer is yes again."""

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id)
        self.task_id = task_id


def current(table: QueueTable, receipt: str, verb: str, now: float) -> Entry:
    """Return the leased task that a receipt names, if it is the newest delivery's.

    What ran out by the beginning of the commit is back in line by now, and its token gone.

    Raises:
        Repeated: the delivery was settled before by the same verb.
        AlreadySettled, LeaseLost, TaskGone: it cannot be settled (any more).
    """
    task_id, deliveries, token = parse_receipt(receipt)
    entry = table.tasks.get(task_id)
    if entry is None:
        raise _of_the_gone(table, task_id, deliveries, token, verb, now)
    if entry.token != token or entry.deliveries != deliveries:
        raise LeaseLost(
            f"the receipt of task {task_id} is stale: it was delivered again or its lease ran out"
        )
    if entry.state != LEASED:
        raise _settled_before(task_id, entry.settled, verb)
    return entry


def _of_the_gone(
    table: QueueTable, task_id: str, deliveries: int, token: str, verb: str, now: float
) -> Exception:
    gone = table.remembered.get(task_id, now)
    if gone is None:
        return LeaseLost(f"task {task_id} is not known (any more); its receipt is stale")
    if gone.settled in ("cancel", "purge"):
        return TaskGone(f"task {task_id} was removed ({gone.settled}); what was done for it is not needed")
    if (gone.deliveries, gone.token) != (deliveries, token):
        return LeaseLost(f"the receipt of task {task_id} is stale: the task went by another delivery")
    return _settled_before(task_id, gone.settled, verb)


def _settled_before(task_id: str, settled: str | None, verb: str) -> Exception:
    if settled == verb:
        return Repeated(task_id)
    if settled is None:
        return LeaseLost(f"the lease of task {task_id} ran out")
    return AlreadySettled(f"this delivery of task {task_id} was settled before, by {settled}")
