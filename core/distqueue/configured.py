"""From a user's arguments and the configuration to a queue's defaults and the way to open its store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from distqueue.broker import Broker
from distqueue.config import find_settings
from distqueue.defaults import Defaults
from distqueue.opening import open_broker, open_within
from distqueue.options import convert_options
from distqueue.urls import StoreURL
from distqueue.within import Within


class Configured(NamedTuple):
    """What holds for a queue, where its store is, and what opens it, or lets a connection stand for it."""

    defaults: Defaults
    url: StoreURL
    options: dict[str, Any]
    observers: tuple[str, ...]

    def open_broker(self) -> Broker:
        """Open the store."""
        return open_broker(self.url, observers=self.observers, **self.options)

    def open_within(self, connection: object) -> Within:
        """Return what puts in the transaction that is open on an application's connection."""
        return open_within(self.url, connection, **self.options)


def configured(url: str | StoreURL | None, queue: str, options: Mapping[str, object]) -> Configured:
    """Return what holds for a queue, and what opens its store. Nothing is opened yet.

    ``options`` that are not a queue's (see :class:`Defaults`) are the backend's.

    Raises:
        ConfigError: no URL is given anywhere, or a URL, a key or a value is wrong.
    """
    settings = find_settings(url, queue)
    own = {name: getattr(settings, name) for name in Defaults.__struct_fields__}
    own |= {name: value for name, value in options.items() if name in own}
    rest = {name: value for name, value in options.items() if name not in own}
    defaults = convert_options(Defaults, own, owner=f"queue {queue!r}", lax=False)
    return Configured(defaults, settings.url, {**settings.options, **rest}, settings.observers)
