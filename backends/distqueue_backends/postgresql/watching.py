"""Who waits for tasks is woken once an application's transaction that put some has committed.

Not by a ``NOTIFY`` in that transaction: commits of the application would wait for each other, under one lock
of the whole server. A thread with a connection of its own asks how the transactions of this process have
ended, as long as there are any, and notifies.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Final

import psycopg

from distqueue.errors import StoreBusy
from distqueue_backends.postgresql.session import Lost, Session

_log: Final = logging.getLogger("distqueue")

FIRST_LOOK: Final = 0.01
"""How soon it is asked whether a transaction has ended, in seconds; later a quarter of its age later."""
LAST_LOOK: Final = 1.0
"""How often at least; consumers look for themselves as often."""
LINGER: Final = 5.0
"""For how long the connection is kept when no transaction is open, in seconds."""
_ENDED: Final = (
    "SELECT t, pg_xact_status(t::xid8) FROM unnest(%s::text[]) AS t "
    "WHERE pg_xact_status(t::xid8) IS DISTINCT FROM 'in progress'"
)
_NOTIFY: Final = "SELECT pg_notify(%s, unnest(%s::text[]))"


class Watch:
    """The open transactions of this process that have put tasks into a store; ``channel`` is the store's."""

    def __init__(self, session: Session, channel: str) -> None:
        self._session = session
        self._channel = channel
        self._changed = threading.Condition()
        self._open: dict[str, set[str]] = {}
        self._newest = 0.0
        self._thread: threading.Thread | None = None

    def add(self, transaction: str, queues: Iterable[str]) -> None:
        """Tell who waits for tasks of some queues, once a transaction has committed."""
        with self._changed:
            self._open.setdefault(transaction, set()).update(queues)
            self._newest = time.monotonic()
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="distqueue-watch", daemon=True)
                self._thread.start()

    def leave_to_parent(self) -> None:
        """In a child: the thread is the parent's, and so is the connection."""
        self._session.leave_to_parent()

    # --- In the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._goes_on():
            try:
                self._look()
            except (Lost, StoreBusy, psycopg.Error) as error:
                _log.debug("consumers find for themselves what was put in transactions: %s", error)
                with self._changed:
                    self._open.clear()
                self._session.drop()

    def _goes_on(self) -> bool:
        """Wait until it is time to look, or for something to look for; false if there is nothing for long."""
        with self._changed:
            if not self._open and not self._changed.wait_for(lambda: self._open, LINGER):
                self._thread = None
                self._session.drop()
                return False
            age = time.monotonic() - self._newest
        time.sleep(min(max(age / 4, FIRST_LOOK), LAST_LOOK))
        return True

    def _look(self) -> None:
        with self._changed:
            transactions = list(self._open)
        ended = self._session.execute(_ENDED, (transactions,))
        with self._changed:
            queues = {transaction: self._open.pop(transaction) for transaction, _ in ended}
        committed = set[str]().union(*[queues[name] for name, status in ended if status == "committed"])
        if committed:
            self._session.execute(_NOTIFY, (self._channel, sorted(committed)))
