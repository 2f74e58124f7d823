"""Opening a store by its URL: from the scheme to a broker that is ready for commands."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, cast

import msgspec

from distqueue.backend import Fsck, Migration, OpenStore
from distqueue.broker import Broker
from distqueue.broker.connection import Connection
from distqueue.broker.door import Door
from distqueue.clock import Clock
from distqueue.config import named_observers
from distqueue.errors import PluginError, Unsupported
from distqueue.forking import whole_imports
from distqueue.groupcommit import GroupCommit
from distqueue.observing import Observed
from distqueue.options import convert_options
from distqueue.plugins import BackendPlugin, Plugins, installed_plugins
from distqueue.urls import StoreURL, parse_url
from distqueue.within import Within

BROKER_SCHEME: Final = "broker"
"""The scheme of ``broker:///path.sock``: whatever store the broker process serves that listens there."""


class NoOptions(msgspec.Struct, frozen=True):
    """The options of a ``broker:`` URL: those of the store were given to its broker process."""


class BackendClass(Protocol):
    """What ``BackendSpec.load`` names."""

    def open(self, url: StoreURL, options: Any, *, create: bool) -> OpenStore:
        """Open the store; with ``create``, make it if it is not there."""

    def within(self, url: StoreURL, options: Any, connection: object) -> Within:
        """Let a transaction of the application's carry out puts."""

    def on_clock(self, url: StoreURL, options: Any, clock: Clock) -> OpenStore:
        """Open the store so that it reads the time from a clock of the caller's."""

    def migrate(self, url: StoreURL, options: Any, *, only_sql: bool, since: int | None) -> Migration:
        """Make the tables of the store, or bring them up to date."""

    def fsck(self, url: StoreURL, options: Any, *, repair: bool) -> Fsck:
        """Examine the store, and mend it if ``repair`` is true."""


def open_broker(
    url: str | StoreURL,
    *,
    create: bool = True,
    observers: Sequence[str] | None = None,
    plugins: Plugins | None = None,
    **options: object,
) -> Broker:
    """Open the store at a URL and return the broker that carries out commands on it.

    ``options`` are the backend's; they take precedence over the URL's query. ``observers`` names
    installed observers; by default ``DISTQUEUE_OBSERVERS`` does. ``plugins`` are those of the
    process, unless others are given.

    Raises:
        ConfigError: the URL, an option or an observer's name is wrong.
        UnknownBackend: no installed plugin serves the scheme.
        PluginError: the plugin that does, or an observer, cannot be used.
        StoreError: the store cannot be opened; the subclass says why.

    >>> broker = open_broker("json:///Queue.json", lock_timeout=5)       # doctest: +SKIP
    """
    place = url if isinstance(url, StoreURL) else parse_url(url)
    if place.scheme == BROKER_SCHEME:
        convert_options(NoOptions, {**place.query, **options}, owner="broker:")
        return GroupCommit(Connection.to_socket(place.file_path()))
    plugins = plugins or installed_plugins()
    backend_class, given = _find_backend(place, plugins, options)
    plugins.load_observers(named_observers() or () if observers is None else observers)
    broker = GroupCommit(Door(partial(backend_class.open, place, given, create=create)))
    return Observed(broker, plugins, place) if plugins.is_observed else broker


def open_within(url: str | StoreURL, connection: object, **options: object) -> Within:
    """Return what carries out puts in the transaction that is open on an application's connection.

    ``options`` are those of the store, as for :func:`open_broker`; ``create`` does not matter, as there
    has to be a database for the connection.

    Raises:
        ConfigError: the URL or an option is wrong, or no plugin can be used for it.
        Unsupported: the backend has no such transactions, or the connection is not one of its library.
    """
    place = url if isinstance(url, StoreURL) else parse_url(url)
    if place.scheme == BROKER_SCHEME:
        raise Unsupported("a broker process cannot see a transaction of yours; name the store's own URL")
    store = {name: value for name, value in options.items() if name != "create"}
    backend_class, given = _find_backend(place, installed_plugins(), store)
    return backend_class.within(place, given, connection)


def open_backend(url: StoreURL, **options: object) -> OpenStore:
    """Open the store at a URL, made if it is not there, for one thread and without any layer around it.

    Raises: as :func:`open_broker`, and ``StoreServed`` if a broker process has it.
    """
    backend_class, given = _find_backend(url, installed_plugins(), options)
    return backend_class.open(url, given, create=True)


def open_on_clock(url: StoreURL, clock: Clock, **options: object) -> OpenStore:
    """Open the store at a URL as :func:`open_backend` does, with a clock of the caller's: for tests.

    Raises: as :func:`open_backend`, and ``Unsupported`` if the backend reads the clock of the machine.
    """
    backend_class, given = _find_backend(url, installed_plugins(), options)
    return backend_class.on_clock(url, given, clock)


def examine_store(url: str | StoreURL, *, repair: bool = False, **options: object) -> Fsck:
    """Examine the store at a URL, and with ``repair`` mend it; nobody else may use it meanwhile.

    Raises:
        ConfigError: the URL or an option is wrong, or no plugin can be used for it.
        StoreError: there is no store, or it is not one that can be examined.
        Unsupported: the backend has nothing to examine.

    >>> examine_store("json:///Queue.json").is_sound                     # doctest: +SKIP
    True
    """
    place = url if isinstance(url, StoreURL) else parse_url(url)
    backend_class, given = _find_backend(place, installed_plugins(), options)
    return backend_class.fsck(place, given, repair=repair)


def migrate_store(
    url: str | StoreURL, *, only_sql: bool = False, since: int | None = None, **options: object
) -> Migration:
    """Make the tables of the store at a URL, or bring them up to date; with ``only_sql``, only say how.

    What is said then starts from the version ``since``, and nobody is asked. If none is given, it starts
    from the version that the database has; if that cannot be reached, from nothing.

    Raises:
        ConfigError: the URL, an option or the version is wrong, or no plugin can be used for the URL.
        StoreError: the database cannot be reached, or does not allow it.
        Unsupported: the backend needs no such thing.

    >>> migrate_store("postgresql://app@db.example.org/shop").after         # doctest: +SKIP
    1
    """
    place = url if isinstance(url, StoreURL) else parse_url(url)
    backend_class, given = _find_backend(place, installed_plugins(), options)
    return backend_class.migrate(place, given, only_sql=only_sql, since=since)


def name_of_store(url: StoreURL) -> str:
    """Return the URL of a store, the same however it was typed, without its password.

    Raises:
        ConfigError: no plugin can be used for it.

    >>> name_of_store(parse_url("postgresql://me:secret@db/shop?lock_timeout=5&schema=jobs"))
    'postgresql://me:***@db/shop?schema=jobs'
    """
    if url.scheme == BROKER_SCHEME:
        return url.name()
    return url.name(installed_plugins().resolve(url.scheme).spec.place_options)


def load_backend_class(plugin: BackendPlugin) -> BackendClass:
    """Import the class that a plugin's spec names, and with it whatever client library it needs.

    Raises:
        PluginError: it cannot be imported, or is not a backend.
    """
    module_name, _, class_name = plugin.spec.load.partition(":")
    try:
        with whole_imports():
            found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:
        raise _unusable(plugin, f"cannot be loaded ({type(error).__name__}: {error})") from error
    if not callable(getattr(found, "open", None)):
        raise _unusable(plugin, "has no classmethod open(url, options, *, create)")
    return cast(BackendClass, found)


def _find_backend(
    place: StoreURL, plugins: Plugins, options: Mapping[str, object]
) -> tuple[BackendClass, msgspec.Struct]:
    """Return the class for a URL, and its options out of the URL's query and ``options``."""
    plugin = plugins.resolve(place.scheme)
    given = convert_options(
        plugin.spec.options, {**place.query, **options}, owner=f"the backend {place.scheme}"
    )
    return load_backend_class(plugin), given


def _unusable(plugin: BackendPlugin, what: str) -> PluginError:
    origin = f"{plugin.distribution} {plugin.version}".rstrip()
    remedy = plugin.spec.install_hint or f"repair or upgrade {plugin.distribution}"
    return PluginError(f"{plugin.spec.load} of {origin} {what}; {remedy}")
