"""``BrokerManager``: host a broker process in a program of your own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from logging import getLogger
from types import TracebackType
from typing import Self

from distqueue.broker.connection import GRACE, Connection
from distqueue.config import find_settings
from distqueue.errors import Closed, DistqueueError
from distqueue.supervisor import STUCK_AFTER, Supervisor
from distqueue.urls import StoreURL

_logger = getLogger("distqueue")


class BrokerManager:
    """Starts a broker process for a store, keeps it alive, and gives each client a pipe of its own.

    The process owns the store: it commits what all clients ask at the same time together, and answers
    through their pipes once that is on the disk. When it dies it is started again, and clients go on
    without noticing; when it gives no sign of life for ``stuck_after`` seconds it is killed first. Other
    processes that open the same URL meanwhile go through it too, by a Unix socket.

    ``url`` and ``options`` are those of a :class:`~distqueue.queue.Queue`; ``socket`` is where to listen,
    if not beside the store. ``grace`` is how long clients wait for a process that died, in seconds.

    >>> async with BrokerManager("json:///Queue.json") as manager:             # doctest: +SKIP
    ...     publisher = Publisher(manager)
    ...     await publisher.publish(TaskIn(data="Process this data"))
    """

    def __init__(
        self,
        url: str | StoreURL | None = None,
        *,
        socket: str | None = None,
        stuck_after: float = STUCK_AFTER,
        grace: float = GRACE,
        **options: object,
    ) -> None:
        settings = find_settings(url, "default")
        self.url = settings.url
        self._grace = grace
        self._supervisor = Supervisor(settings.url, {**settings.options, **options}, socket, stuck_after)
        self._closed = asyncio.Event()
        self._is_started = False
        self._flushes: dict[str, Callable[[], Awaitable[None]]] = {}
        self.clients: dict[str, Connection] = {}
        """The connections of this program's publishers and consumers, by their names."""

    def __repr__(self) -> str:
        return f"<BrokerManager {self.url} pid={self.pid}>"

    @property
    def pid(self) -> int | None:
        """The broker process, while it runs."""
        return self._supervisor.pid

    @property
    def address(self) -> str:
        """The Unix socket for other processes."""
        return self._supervisor.address

    @property
    def restarts(self) -> int:
        """How often the broker process died and was started again."""
        return self._supervisor.restarts

    async def start(self) -> Self:
        """Start the broker process; return once it serves the store.

        Raises:
            ConfigError, StoreError: the store cannot be opened; the subclass says why.
        """
        if self._closed.is_set():
            raise Closed("the broker manager was closed; make another one")
        if not self._is_started:
            try:
                await asyncio.to_thread(self._supervisor.start)
            except asyncio.CancelledError:
                self._closed.set()
                await asyncio.shield(asyncio.to_thread(self._supervisor.stop))
                raise
            self._is_started = True
        return self

    async def run(self) -> None:
        """Serve until :meth:`close` is called or this is cancelled; start first if that was not done."""
        if not self._is_started:
            await self.start()
        try:
            await self._closed.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Store what publishers did not wait for, answer what has arrived, and end the broker process.

        What clients ask later fails with ``Closed``. Twice is the same as once.
        """
        for name, flush in list(self._flushes.items()):
            try:
                await flush()
            except DistqueueError as error:
                _logger.error("what %s did not wait for is not stored: %s", name, error)
        self._flushes.clear()
        self._closed.set()
        await asyncio.to_thread(self._supervisor.stop)

    def connect(self, name: str) -> Connection:
        """Return a client's connection to the broker process; ``name`` is what :attr:`clients` has it under.

        Raises:
            Closed: the manager was closed, or not started.
        """
        if not self._is_started:
            raise Closed("the broker manager was not started: await manager.start(), or use `async with`")
        connection = Connection(self._supervisor.dial, self._grace)
        self.clients[name] = connection
        return connection

    def register(self, name: str, flush: Callable[[], Awaitable[None]]) -> None:
        """Let :meth:`close` flush a client first."""
        self._flushes[name] = flush

    def disconnected(self, name: str) -> None:
        """A client is gone."""
        self.clients.pop(name, None)
        self._flushes.pop(name, None)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
