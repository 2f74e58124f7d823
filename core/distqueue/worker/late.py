"""What has ended, and could not be settled yet: the lease may run out before it can be."""

from __future__ import annotations

from typing import Final

from distqueue.worker.running import Running

_MOST: Final = 10_000
"""How many are remembered; those that have been for longest are forgotten."""


class Late:
    """Knows what has ended here, until the next delivery of it: if that comes here, nothing runs twice."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Running] = {}

    def keep(self, running: Running) -> bool:
        """Remember a delivery if its handler has returned, and did all it had to do; tell whether it has."""
        if running.ended is None or not running.ended.is_whole:
            return False
        self._kept[running.queue, running.lease.task_id] = running
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]
        return True

    def forget(self, running: Running) -> None:
        """It has been settled."""
        if self._kept:
            self._kept.pop((running.queue, running.lease.task_id), None)

    def before(self, running: Running) -> Running | None:
        """Return the delivery before this one, if that is remembered."""
        earlier = self._kept.pop((running.queue, running.lease.task_id), None)
        return earlier if earlier is not None and _follows(running, earlier) else None


def _follows(running: Running, earlier: Running) -> bool:
    """Tell whether a delivery is the next one, as a lease ran out: nobody else has had the task meanwhile."""
    now, then = running.lease, earlier.lease
    counts = (then.deliveries + 1, then.attempt + 1, then.put_at)
    return (now.deliveries, now.attempt, now.put_at) == counts
