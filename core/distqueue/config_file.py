"""``distqueue.toml``: every key that it can have, where it is looked for, and how it is read."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from distqueue.errors import ConfigError, InvalidTask
from distqueue.limits import MAX_SECONDS, check_queue_name
from distqueue.options import RESERVED, convert_options

FILE_NAME: Final = "distqueue.toml"

type Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
type SomeSeconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]


class RetryTable(msgspec.Struct, frozen=True, kw_only=True):
    """``retry``: the waiting time before the next attempt; see :class:`distqueue.retry.Backoff`."""

    first: Seconds | UnsetType = UNSET
    factor: Annotated[float, Meta(ge=1, le=1000)] | UnsetType = UNSET
    cap: Seconds | UnsetType = UNSET
    jitter: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET


class QueueSection(msgspec.Struct, frozen=True, kw_only=True):
    """``[defaults]`` or ``[queues.NAME]``. Durations are seconds."""

    lease: SomeSeconds | UnsetType = UNSET
    max_attempts: Annotated[int, Meta(ge=1)] | Literal["unlimited"] | UnsetType = UNSET
    keep_done: Seconds | UnsetType = UNSET
    flush_interval: SomeSeconds | UnsetType = UNSET
    retry: RetryTable = RetryTable()


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a configuration file can say."""

    url: str | UnsetType = UNSET
    observers: list[str] | UnsetType = UNSET
    store: dict[str, str | int | float | bool] = {}
    defaults: QueueSection = QueueSection()
    queues: dict[str, dict[str, object]] = {}


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration file that was read. ``queues`` holds the sections ``[queues.NAME]``."""

    path: str
    keys: Keys
    queues: Mapping[str, QueueSection]


def find_file() -> str | None:
    """Return the path of the nearest ``distqueue.toml``, from the working directory upward.

    A directory that may not be read is passed over.
    """
    try:
        directory = os.getcwd()
    except FileNotFoundError:  # the working directory was removed
        return None
    while not os.path.isfile(path := os.path.join(directory, FILE_NAME)):
        directory, below = os.path.dirname(directory), directory
        if directory == below:
            return None
    return path


def read_file(path: str) -> ConfigFile:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, or has a key or a value that it cannot have; the message
            names file, key and what to write.
    """
    keys = convert_options(Keys, _load(path), owner=path, lax=False)
    for name in RESERVED.intersection(keys.store):
        raise ConfigError(f"{path}: {name!r} in [store] is not an option of a backend; remove it from there")
    queues = {name: _queue_section(path, name, table) for name, table in keys.queues.items()}
    return ConfigFile(path=path, keys=keys, queues=queues)


def _queue_section(path: str, name: str, table: Mapping[str, object]) -> QueueSection:
    try:
        check_queue_name(name)
    except InvalidTask as error:
        raise ConfigError(f"{path}: [queues.{name}]: {error}") from None
    return convert_options(QueueSection, table, owner=path, at=f"queues.{name}", lax=False)


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
