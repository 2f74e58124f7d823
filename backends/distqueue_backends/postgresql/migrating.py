"""``distqueue migrate``: making the tables of a store, or saying by which SQL that is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from distqueue.backend import Migration
from distqueue.errors import ConfigError, StoreBusy, StoreError
from distqueue.urls import StoreURL
from distqueue_backends.postgresql import schema
from distqueue_backends.postgresql.conninfo import parameters
from distqueue_backends.postgresql.options import PostgresOptions
from distqueue_backends.postgresql.server import look_at, settings
from distqueue_backends.postgresql.session import Session, first_line


def migrate(url: StoreURL, options: PostgresOptions) -> Migration:
    """Make the tables of a store, or bring them up to date.

    Raises:
        StoreError: the server cannot be reached, is not one to trust tasks to, or does not allow it.
    """
    try:
        with _connected(url, options) as session:
            look_at(session, str(url))
            before, after = schema.bring_up_to_date(session.connection, options.schema)
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"{url} cannot be migrated: {first_line(error)}; nothing was changed. Name a role that may "
            "make and own the schema, or give what `distqueue migrate --sql` prints to somebody who may"
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"{url} cannot be migrated: {first_line(error)}; nothing was changed") from error
    return Migration(before=before, after=after)


def say_how(url: StoreURL, options: PostgresOptions, since: int | None) -> Migration:
    """Return the SQL that brings a store up to date from the version ``since``, or from the one that it has.

    Where no server can be asked for that, the SQL makes all tables, and ``unasked`` says why.

    Raises:
        ConfigError: there is no such version.
        StoreError: the server does not tell the version of the store.
    """
    if since is not None and not 0 <= since <= schema.VERSION:
        raise ConfigError(
            f"there is no version {since} to start from; use 0, where nothing is, to {schema.VERSION}"
        )
    unasked = ""
    before = since or 0
    if since is None:
        try:
            before = _ask(url, options)
        except StoreBusy as error:
            unasked = str(error).removesuffix("; nothing was stored")
    sql = schema.script(options.schema, before, _heading(options.schema, before, unasked))
    return Migration(before=before, after=max(before, schema.VERSION), sql=sql, unasked=unasked)


def _ask(url: StoreURL, options: PostgresOptions) -> int:
    """Return the version that a store has, 0 if it has no tables."""
    try:
        with _connected(url, options) as session:
            version, _ = schema.version_of(session.connection, options.schema) or (0, 0)
    except psycopg.Error as error:
        raise StoreError(
            f"the version of schema {options.schema} cannot be read: {first_line(error)}; name it with --from"
        ) from error
    return version


def _heading(name: str, before: int, unasked: str) -> str:
    """Return what is said above the SQL."""
    if before >= schema.VERSION:
        return f"distqueue: schema {name} has version {before}, there is nothing to do"
    start = f"version {before}" if before else "nothing"
    said = f"distqueue: schema {name} from {start} to version {schema.VERSION}"
    return f"{said}\n{' '.join(unasked.split())}" if unasked else said


@contextmanager
def _connected(url: StoreURL, options: PostgresOptions) -> Iterator[Session]:
    # A statement may take long; what a migration waits for is another one.
    session = Session(parameters(url, options), settings(options) | {"lock_timeout": "0"})
    try:
        session.connect(options.connect_timeout)
        yield session
    finally:
        session.drop()
