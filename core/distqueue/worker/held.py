"""Tasks that are claimed again while their handler still runs here, as the lease ran out meanwhile."""

from __future__ import annotations

from distqueue.worker.running import Running


class Held:
    """Keeps the newer delivery of such a task until the handler has ended: here nothing runs twice at once.

    A worker that was stopped for longer than a lease, or a machine that slept, is how that happens.
    """

    def __init__(self) -> None:
        self._newer: dict[Running, Running] = {}

    def hold(self, newer: Running, earlier: Running) -> None:
        """Renew the lease of a delivery while the handler runs that was started for an earlier one."""
        if (between := self._newer.get(earlier)) is not None:
            between.settling()
        newer.renew()
        self._newer[earlier] = newer

    def take(self, earlier: Running) -> Running | None:
        """A handler has ended: return the delivery that waited for it, if there is one."""
        return self._newer.pop(earlier, None) if self._newer else None
