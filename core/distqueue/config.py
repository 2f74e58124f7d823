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
    values: dict[str, Any] = {one.key: one.value for one in _queue_values(file, queue)}
    return Settings(
        url=place,
        source=source,
        options=dict(file.keys.store) if file and source == file.path else {},
        observers=tuple(_find_observers(file)[0]),
        retry=Backoff(**{key: values.pop(f"retry.{key}") for key in Backoff.__struct_fields__}),
        **{**values, "max_attempts": _no_limit(values["max_attempts"])},
    )


def explain(url: str | StoreURL | None = None, queue: str = "default") -> list[InForce]:
    """Return every key with its value in force and its source, for ``distqueue config``.

    Raises:
        ConfigError: a URL, a key or a value is wrong.
    """
    file = _read_nearest()
    place, source = _find_url(url, file) or (None, "not set")
    observers, named_in = _find_observers(file)
    return [
        InForce("url", place and str(place), source),
        InForce("observers", ", ".join(observers), named_in),
        *(_store_values(file, source) if file else ()),
        *_queue_values(file, queue),
    ]


def named_observers() -> list[str] | None:
    """Return the observers that ``DISTQUEUE_OBSERVERS=name,name`` names, ``None`` if it is not set.

    Set to nothing, it switches off those that a configuration file names.
    """
    text = os.environ.get("DISTQUEUE_OBSERVERS")
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _read_nearest() -> ConfigFile | None:
    path = find_file()
    return read_file(path) if path else None


def _find_url(url: str | StoreURL | None, file: ConfigFile | None) -> tuple[StoreURL, str] | None:
    """Return the URL in force and where it comes from."""
    if url is not None:
        return (url if isinstance(url, StoreURL) else parse_url(url)).relative_to("."), "argument"
    if text := os.environ.get("DISTQUEUE_URL"):
        return _parse_from("DISTQUEUE_URL", text).relative_to("."), "DISTQUEUE_URL"
    if file and file.keys.url is not UNSET:
        directory = os.path.dirname(file.path)
        return _parse_from(file.path, file.keys.url).relative_to(directory), file.path
    return None


def _parse_from(source: str, text: str) -> StoreURL:
    try:
        return parse_url(text)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _no_url(file: ConfigFile | None) -> str:
    where = f"{file.path} (it has no url yet)" if file else "a distqueue.toml here or in a directory above"
    return (
        "no store is named; give its URL as an argument (-u of the commands), such as json:///Queue.json, "
        f'or set DISTQUEUE_URL, or write url = "json:///Queue.json" in {where}'
    )


def _find_observers(file: ConfigFile | None) -> tuple[list[str], str]:
    if (named := named_observers()) is not None:
        return named, "DISTQUEUE_OBSERVERS"
    if file and file.keys.observers is not UNSET:
        return file.keys.observers, file.path
    return [], BUILT_IN


def _store_values(file: ConfigFile, source: str) -> Iterator[InForce]:
    origin = f"{file.path} [store]"
    if source != file.path:  # the options are meant for the store that the file names
        origin = f"not in force, as the url is from: {source}"
    for name, value in file.keys.store.items():
        yield InForce(f"store.{name}", HIDDEN if is_secret(name) else value, origin)


def _queue_values(file: ConfigFile | None, queue: str) -> Iterator[InForce]:
    """Return the keys of a queue: from its own section, else the defaults of all, else built in."""
    sections: list[tuple[str, dict[str, Any]]] = []
    if file and queue in file.queues:
        sections.append((f"{file.path} [queues.{queue}]", _flat(file.queues[queue])))
    if file:
        sections.append((f"{file.path} [defaults]", _flat(file.keys.defaults)))
    sections.append((BUILT_IN, _flat(_DEFAULTS)))
    for key in _flat(_DEFAULTS):
        source, values = next((source, values) for source, values in sections if key in values)
        yield InForce(key, values[key], source)


def _flat(section: QueueSection) -> dict[str, Any]:
    """Return what a section says, as ``lease`` … ``retry.first`` …"""
    values = msgspec.structs.asdict(section)
    retry = msgspec.structs.asdict(values.pop("retry"))
    values |= {f"retry.{key}": value for key, value in retry.items()}
    return {key: value for key, value in values.items() if value is not UNSET}


def _no_limit(value: int | str) -> int | None:
    return None if isinstance(value, str) else value
