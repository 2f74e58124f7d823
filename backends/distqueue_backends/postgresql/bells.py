"""Who waits for tasks is woken: one thread and one connection a process, whatever waits or rings in it.

Never in the transaction of a put: what notifies commits under one lock of the whole server. After its commit
a process tells its own waiters at once, and those of the others by a notification, the first one without
delay, then one for all that happens in five milliseconds.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import psycopg

from distqueue.errors import Closed, StoreBusy
from distqueue.results import Seen
from distqueue_backends.postgresql.session import Lost, Session

_log: Final = logging.getLogger("distqueue")

SAFETY_POLL: Final = 1.0
"""How long a waiting consumer sleeps at most, in seconds: a writer may die before it has told anybody."""
POLL: Final = 0.1
"""The same where nobody can be told."""
GATHER: Final = 0.005
"""For how long what happened is gathered after a notification, in seconds."""
TIDY_EVERY: Final = 10.0
"""How often the memory of ids is tidied up while tasks go, in seconds."""
TIDY_ON: Final = 1.0
"""The same while there are more than one call forgets."""
TIDY_AT_END: Final = 1.0
"""For how long that goes on at the end of a process, in seconds."""
_RETRY: Final = 0.25
_MOST_CHANNEL: Final = 63


class Bells:
    """What rings, by queue, over a session of its own; ``channel`` is that of the store.

    ``tidy`` is called now and then with the session, if there was something to do; it answers whether
    something is left, which is done soon.
    """

    def __init__(
        self,
        session: Session,
        channel: str,
        tidy: Callable[[Session], bool],
        *,
        may_listen: bool,
    ) -> None:
        self._session = session
        self._channel = channel
        self._tidy = tidy
        self._may_listen = may_listen
        self._changed = threading.Condition()
        self._rings: Counter[str] = Counter()
        self._all = 0
        self._pending: set[str] = set()
        self._wants_to_listen = self._is_listening = self._is_closed = False
        self.is_dirty = False
        """Whether there may be ids to forget."""
        self._tidied = time.monotonic()
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.users = 0

    # --- From any thread --------------------------------------------------------------------------

    def version(self, queue: str) -> int:
        """Return a number that is another one once something has happened to a queue."""
        return self._rings[queue] + self._all

    def ring(self, queues: Iterable[str], *, is_dirty: bool) -> None:
        """Tell everybody that there may be something to claim in some queues, after the commit."""
        names = set(queues)
        with self._changed:
            self.is_dirty |= is_dirty
            if names:
                self._pending |= names
                self._rings.update(names)
                self._changed.notify_all()
            self._start()
        if names:
            self._wake()

    def wait(self, queue: str, seen: int, longest: float, closing: threading.Event) -> Seen:
        """Return once the queue rang since ``seen``, or after so many seconds.

        Raises:
            Closed: the store was closed meanwhile.
        """
        longest = min(longest, SAFETY_POLL if self._may_listen else POLL)
        deadline = time.monotonic() + longest
        with self._changed:
            is_new = self._may_listen and not self._wants_to_listen
            if is_new:
                self._wants_to_listen = True
                self._start()
        if is_new:
            self._wake()
        with self._changed:
            while not closing.is_set() and self.version(queue) == seen:
                rest = deadline - time.monotonic()
                if self._may_listen and not self._is_listening:
                    rest = min(rest, POLL)
                    self._changed.wait(max(0.0, rest))
                    break
                if rest <= 0:
                    break
                self._changed.wait(rest)
            if closing.is_set():
                raise Closed("the store was closed while waiting")
            return Seen(self.version(queue))

    def wake_waiters(self) -> None:
        """Let who waits look whether its store was closed."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread, once it has told what is to be told."""
        self._is_closed = True
        if self._thread is not None:
            self._wake()
            self._thread.join()
        self._session.drop()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def leave_to_parent(self) -> None:
        """In a child: the thread is the parent's, and so is the connection."""
        self._session.leave_to_parent()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # --- In the thread ------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="distqueue-bells", daemon=True)
            self._thread.start()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # then it is awake
            os.write(self._wake_write, b"!")

    def _work(self) -> None:
        while not self._is_closed or self._pending:
            try:
                self._turn()
            except (Lost, StoreBusy, psycopg.Error) as error:
                _log.debug("no notifications for now: %s", error)
                self._is_listening = False
                self._session.drop()
                if self._is_closed:
                    return
                time.sleep(_RETRY)

    def _turn(self) -> None:
        if self._wants_to_listen and (not self._is_listening or self._session.broke()):
            self._listen()
        if self._pending:
            with self._changed:
                queues, self._pending = self._pending, set()
            try:
                self._session.execute(
                    "SELECT pg_notify(%s, unnest(%s::text[]))", (self._channel, list(queues))
                )
            except BaseException:
                self._pending |= queues
                raise
            self._sleep([], GATHER)
        if self.is_dirty and time.monotonic() - self._tidied > TIDY_EVERY:
            self.is_dirty, self._tidied = False, time.monotonic()
            if self._tidy(self._session):
                self.is_dirty, self._tidied = True, time.monotonic() - TIDY_EVERY + TIDY_ON
        if not self._pending and not self._is_closed:
            socket = [self._session.connection.fileno()] if self._is_listening else []
            if socket:
                self._hear()  # to look whether it is alive takes in what has come, which is not seen any more
            self._sleep([*socket, self._wake_read], self._next_tidying())
        if self._is_listening:
            self._hear()

    def _next_tidying(self) -> float | None:
        """Return in how many seconds it is time to tidy up, ``None`` if there is nothing to do."""
        return max(0.0, self._tidied + TIDY_EVERY - time.monotonic()) if self.is_dirty else None

    def _listen(self) -> None:
        """Listen from now on; what was told meanwhile is unknown, so everything counts as rung."""
        self._session.drop()
        connection = self._session.connection
        connection.add_notify_handler(self._heard)
        connection.execute(f'LISTEN "{self._channel}"')
        with self._changed:
            self._is_listening = True
            self._all += 1
            self._changed.notify_all()

    def _hear(self) -> None:
        """Take in what has been told."""
        pgconn = self._session.connection.pgconn
        pgconn.consume_input()
        while (told := pgconn.notifies()) is not None:
            self._heard(told)

    def _heard(self, told: Any) -> None:
        connection = self._session.connection
        if getattr(told, "pid", getattr(told, "be_pid", None)) == connection.pgconn.backend_pid:
            return  # this process knows already
        name = getattr(told, "payload", None) or told.extra
        queue = name.decode() if isinstance(name, bytes) else name
        with self._changed:
            self._rings[queue] += 1
            self._changed.notify_all()

    def _sleep(self, files: list[int], seconds: float | None) -> None:
        readable, _, _ = select.select(files, [], [], seconds)
        if self._wake_read in readable:
            os.read(self._wake_read, 4096)


def channel_of(schema: str) -> str:
    """Return the channel on which the store in a schema notifies."""
    return f"distqueue/{schema}"[:_MOST_CHANNEL]


_OF_STORES: Final[dict[str, Bells]] = {}
_LOCK: Final = threading.Lock()


def bells_of(store: str, make: Callable[[], Bells]) -> Bells:
    """Return the bells of a store, which all opens of it in this process share."""
    with _LOCK:
        bells = _OF_STORES.get(store)
        if bells is None:
            bells = _OF_STORES[store] = make()
        bells.users += 1
        return bells


def let_go(store: str, bells: Bells) -> bool:
    """Close the bells with the last open of their store; return whether it is to tidy up for them."""
    with _LOCK:
        bells.users -= 1
        is_last = bells.users == 0 and _OF_STORES.get(store) is bells
        if is_last:
            del _OF_STORES[store]
    if is_last:
        bells.close()
        return bells.is_dirty
    bells.wake_waiters()
    return False


def _after_fork() -> None:
    _LOCK._at_fork_reinit()  # type: ignore[attr-defined]
    for bells in _OF_STORES.values():
        bells.leave_to_parent()
    _OF_STORES.clear()


os.register_at_fork(after_in_child=_after_fork)
