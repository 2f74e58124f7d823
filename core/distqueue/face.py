"""What :class:`Publisher` and :class:`Consumer` have in common: a queue, and how to reach it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from distqueue.async_queue import AsyncQueue
from distqueue.configured import configured
from distqueue.defaults import Defaults
from distqueue.errors import ConfigError
from distqueue.groupcommit import GroupCommit
from distqueue.ids import new_token
from distqueue.manager import BrokerManager
from distqueue.urls import StoreURL


class Face:
    """A queue reached through a manager's broker process, over a pipe of its own, or by a URL.

    ``name`` is who this is; :attr:`queue` has everything that an ``AsyncQueue`` can do.
    """

    def __init__(
        self,
        place: BrokerManager | str | StoreURL | None = None,
        queue: str = "default",
        *,
        name: str | None = None,
        **options: object,
    ) -> None:
        self.name = name or f"{type(self).__name__.lower()}-{new_token()[:8]}"
        self._manager = place if isinstance(place, BrokerManager) else None
        if isinstance(place, BrokerManager):
            defaults = _defaults(place, queue, options)
            self.queue = AsyncQueue.opened_by(lambda: GroupCommit(place.connect(self.name)), queue, defaults)
            place.register(self.name, self.queue.flush_if_used)
        else:
            self.queue = AsyncQueue(place, queue, **options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of queue {self.queue.name!r}>"

    async def close(self) -> None:
        """Store what nobody waited for, let waiting gets go, and hang up. Twice is the same as once."""
        await self.queue.close()
        if self._manager is not None:
            self._manager.disconnected(self.name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _defaults(manager: BrokerManager, queue: str, options: dict[str, object]) -> Defaults:
    """Return what holds for a queue; options of the store are the manager's."""
    for name in options:
        if name not in Defaults.__struct_fields__:
            raise ConfigError(f"{name} is not an option of a queue; one of the store belongs to the manager")
    return configured(manager.url, queue, options)[0]
