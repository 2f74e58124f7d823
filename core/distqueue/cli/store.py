"""Opening the store that a command is about, and asking it things."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distqueue.broker import Broker
from distqueue.capabilities import Durability
from distqueue.cli.errors import note
from distqueue.commands import Command
from distqueue.config import Settings, find_settings
from distqueue.outcomes import expect
from distqueue.results import Result


class Store:
    """An open store, and the settings in force for the queue that the command is about."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self.broker = broker
        self.settings = settings

    def ask[R: Result](self, command: Command, kind: type[R]) -> R:
        """Carry out one command.

        Raises:
            Refused: it was refused.
        """
        return expect(self.broker.apply([command])[0], kind)


@contextmanager
def open_store(url: str | None, queue: str = "default", *, create: bool = False) -> Iterator[Store]:
    """Open the store in force until the block ends.

    Raises:
        ConfigError: no store is named, or its URL or the configuration is wrong.
        StoreMissing: there is none, and ``create`` is false.
        StoreError: it cannot be opened.
    """
    from distqueue.opening import open_broker  # not needed by whoever asks for help

    settings = find_settings(url, queue)
    is_new = create and settings.url.is_file and not os.path.lexists(settings.url.path)
    arguments: dict[str, Any] = {"observers": settings.observers, **settings.options}
    broker = open_broker(settings.url, create=create, **arguments)
    try:
        if is_new:
            note(f"created {os.path.abspath(settings.url.path)}")
        elif (
            create and settings.url.scheme == "memory" and broker.capabilities.durability is Durability.MEMORY
        ):
            note(f"{settings.url} is in memory: it ends with this command")
        yield Store(broker, settings)
    finally:
        broker.close()
