"""Configuration: what is in force for a queue, and where each value comes from.

An explicit argument goes before the environment, and that before ``distqueue.toml``; what is said of
one queue goes before the defaults for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET

from distqueue.config_file import ConfigFile, QueueSection, RetryTable, find_file, read_file
from distqueue.errors import ConfigError
from distqueue.retry import Backoff
from distqueue.urls import HIDDEN, StoreURL, is_secret, parse_url

BUILT_IN: Final = "built-in default"

_DEFAULTS: Final = QueueSection(
    lease=30.0,
    max_attempts=5,
    keep_done=0.0,
    flush_interval=2.0,
    retry=RetryTable(**msgspec.structs.asdict(Backoff())),
)


class InForce(msgspec.Struct, frozen=True):
    """One key, its value in force (secrets hidden) and where that comes from."""

    key: str
    value: object
    source: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force for one queue. Durations are seconds.

    ``options`` are for the backend, ``source`` is where the URL comes from. ``lease``,
    ``max_attempts`` (``None``: no limit), ``keep_done``, ``flush_interval`` and ``retry`` hold for
    every call that does not say otherwise.
    """

    url: StoreURL
    source: str
    options: dict[str, str | int | float | bool]
    observers: tuple[str, ...]
    lease: float
    max_attempts: int | None
    keep_done: float
    flush_interval: float
    retry: Backoff


def find_settings(url: str | StoreURL | None = None, queue: str = "default") -> Settings:
    """Return the settings for a queue; ``url`` is the explicit argument, if there is one.

    A relative path in the URL is made absolute here: against the directory of the file that it
    stands in, else against the working directory.

    Raises:
        ConfigError: no URL is given anywhere, or a URL, a key or a value is wrong.

    >>> find_settings("memory://", queue="emails").lease
    30.0
    """
    file = _read_nearest()
    found = _find_url(url, file)
    if found is None:
        raise ConfigError(_no_url(file))
    place, source = found
    values = {one.key: one.value for one in _queue_values(file, queue)}
    return Settings(
        url=place,
        source=source,
        options=dict(file.keys.store) if file and source == file.path else {},
        observers=tuple(_find_observers(file)[0]),
        retry=Backoff(**{key: values.pop(f"retry.{key}") for key in Backoff.__struct_fields__}),
        **{**values, "max_attempts": _no_limit(values["max_attempts"])},
    )
