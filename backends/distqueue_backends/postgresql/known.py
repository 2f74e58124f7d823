"""What this process knows of a store into which it puts tasks in transactions of the application's.

What has to be done for that beside the transaction is done on connections of our own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any, Final

import psycopg

from distqueue.errors import StoreBusy, StoreError
from distqueue.urls import StoreURL
from distqueue_backends.postgresql.bells import channel_of
from distqueue_backends.postgresql.conninfo import parameters
from distqueue_backends.postgresql.options import PostgresOptions, Switch
from distqueue_backends.postgresql.schema import check_version
from distqueue_backends.postgresql.server import settings
from distqueue_backends.postgresql.session import Session, complaint
from distqueue_backends.postgresql.watching import Watch

_STORE: Final = "SELECT uuid::text FROM {}.store"
_MAKE_QUEUE: Final = "SELECT {}.make_queue(%s)"
_TICK: Final = "SELECT {}.look(%s)"


class KnownStore:
    """A store: who it is, and which queues it has."""

    def __init__(self, url: StoreURL, options: PostgresOptions) -> None:
        self._url = url
        self._options = options
        self._schema = f'"{options.schema}"'
        self._lock = threading.Lock()
        self._queues: set[str] = set()
        self.uuid: str | None = None
        self._watch = Watch(self._session(), channel_of(options.schema))

    def has(self, queues: set[str]) -> bool:
        """Whether the store is known, and has these queues."""
        return self.uuid is not None and queues <= self._queues

    def look_up(self, queues: set[str]) -> None:
        """Ask the store who it is, and make the queues that it does not have.

        A queue that was made in the application's transaction would keep everybody waiting who puts there.

        Raises:
            StoreMissing, UnsupportedFormat: it was not migrated, or by another version.
            StoreError: it cannot be used.
        """
        with self._lock:
            session = self._session()
            try:
                connection = session.connect(self._options.connect_timeout)
                check_version(connection, self._options.schema, str(self._url))
                for queue in sorted(queues):
                    self._ask(session, _MAKE_QUEUE, queue)
                self.uuid = self._ask(session, _STORE)[0][0]
                self._queues |= queues
            except psycopg.Error as error:
                why = f"{self._url} cannot be used: {complaint(error, self._options.schema)}; nothing was put"
                raise StoreError(why) from error
            finally:
                session.drop()

    def forget(self) -> None:
        """Let the store be asked again next time: there may be another one at the URL now."""
        self.uuid, self._queues = None, set()

    def tick(self, queues: Iterable[str]) -> None:
        """See to what has run out, if the application's own transaction does not hold it."""
        session = self._session()
        try:
            session.connect(self._options.connect_timeout)
            for queue in queues:
                self._ask(session, _TICK, queue)
        except (psycopg.Error, StoreBusy):
            pass  # then the put is refused for it
        finally:
            session.drop()

    def watch(self, transaction: str, queues: set[str]) -> None:
        """Wake who waits for tasks of the queues, once a transaction has committed."""
        if self._options.listen is Switch.AUTO:
            self._watch.add(transaction, queues)

    def leave_to_parent(self) -> None:
        """In a child: close what the fork copied."""
        self._watch.leave_to_parent()

    def _session(self) -> Session:
        is_pooled = self._options.listen is Switch.OFF
        return Session(parameters(self._url, self._options), settings(self._options), is_pooled=is_pooled)

    def _ask(self, session: Session, statement: str, *arguments: object) -> list[Any]:
        connection = session.connection
        with session.transaction(connection):
            return session.query(connection, statement.replace("{}", self._schema), arguments)


_KNOWN: Final[dict[tuple[str, PostgresOptions], KnownStore]] = {}


def known_store(url: StoreURL, options: PostgresOptions) -> KnownStore:
    """Return what this process knows of a store, at first nothing."""
    key = (url.unredacted(), options)
    return _KNOWN.get(key) or _KNOWN.setdefault(key, KnownStore(url, options))


def _after_fork() -> None:
    for store in _KNOWN.values():
        store.leave_to_parent()
    _KNOWN.clear()


os.register_at_fork(after_in_child=_after_fork)
