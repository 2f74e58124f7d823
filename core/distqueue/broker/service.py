"""A store that is open, kept for this process, and served to others."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import Final

from distqueue.broker import Broker
from distqueue.broker.address import Address
from distqueue.broker.parked import LONGEST
from distqueue.broker.server import Server
from distqueue.config import named_observers
from distqueue.observing import Observed
from distqueue.opening import open_backend
from distqueue.plugins import installed_plugins
from distqueue.urls import StoreURL

LOOKS_EVERY: Final = 0.05
"""How often a store that others change too is asked for clients that wait, in seconds."""


class Service:
    """Opens a store and listens for clients; :attr:`server` is ready to run.

    Raises:
        ConfigError, StoreError: the store cannot be opened, or nobody can listen for its clients.
    """

    def __init__(
        self,
        url: StoreURL,
        path: str | None = None,
        before: str | None = None,
        *,
        longest_wait: float = LONGEST,
        **options: object,
    ) -> None:
        _allow_many_clients()
        backend = open_backend(url, **options)
        self.broker: Broker = backend
        self.address = Address(path, _file_of(url), before)
        try:
            is_held = backend.serve_at(self.address.path)
            plugins = installed_plugins()
            plugins.load_observers(named_observers() or ())
            if plugins.is_observed:
                self.broker = Observed(backend, plugins, url)
            listener = self.address.listen()
        except BaseException:
            self.close()
            raise
        looks_every = None if is_held else LOOKS_EVERY
        self.server = Server(self.broker, listener, looks_every=looks_every, longest_wait=longest_wait)
        self._listener = listener

    def close(self) -> None:
        """Close the store and everything else."""
        try:
            self.broker.close()
        finally:
            if hasattr(self, "_listener"):
                self._listener.close()
            self.address.close()


def _file_of(url: StoreURL) -> str | None:
    """Return the path of a store that is a file or a directory."""
    return url.file_path() if not url.host and url.path and os.path.exists(url.file_path()) else None


def _allow_many_clients() -> None:
    """Open as many descriptors as the system lets us: each client takes one, its process another."""
    with suppress(OSError, ValueError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
