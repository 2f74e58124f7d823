"""Asking a store from an event loop, always in the same other thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from distqueue.broker import Broker
from distqueue.commands import Command
from distqueue.results import Outcome


class Asker:
    """Carries out commands in a thread of its own: malloc keeps a heap for each thread that it sees."""

    def __init__(self, broker: Broker, thread: ThreadPoolExecutor) -> None:
        self.capabilities = broker.capabilities
        self._broker = broker
        self._thread = thread

    async def ask(self, commands: Sequence[Command]) -> list[Outcome]:
        """Return what the store answers."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._broker.apply, commands)


@contextmanager
def asking(broker: Broker) -> Iterator[Asker]:
    """Ask a store for as long as the block lasts; what is under way at its end is waited for."""
    with ThreadPoolExecutor(1, "distqueue-transfer") as thread:
        yield Asker(broker, thread)
