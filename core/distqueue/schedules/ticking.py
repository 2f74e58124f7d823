"""A worker's part in the schedules: a thread that carries out links when they are due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from logging import getLogger
from typing import Final

from distqueue.broker import Broker
from distqueue.schedules.carrying_out import carry_out
from distqueue.schedules.chains import check, establish
from distqueue.schedules.schedule import QUEUE, Definition

_log: Final = getLogger("distqueue.schedules")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""How long a call that failed is put off, in seconds; each time twice as long."""
_LOOK: Final = 30.0
"""The longest wait, in seconds: by then a clock that was set is noticed."""


class Ticking:
    """Keeps the chains of an app, and carries out whatever link of the store is due.

    ``broker`` returns the store's broker, which may be another one after a failure. ``told`` is called, in
    the thread, after each turn: with false if no link is due now, with true if there may be more to be done,
    also about a store that has failed.
    """

    def __init__(
        self,
        broker: Callable[[], Broker],
        app: str,
        definitions: Sequence[bytes],
        told: Callable[[bool], None],
    ) -> None:
        self._broker = broker
        self._app = app
        self._told = told
        self._definitions = [Definition(raw) for raw in definitions]
        check(self._definitions, broker())
        self._established: list[Definition] | None = None
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="distqueue-schedules", daemon=True)
        self._thread.start()

    def use(self, definitions: Sequence[bytes]) -> None:
        """Go over to these schedules, shortly: the app was imported again, and may have changed."""
        if [one.raw for one in self._definitions] != list(definitions):
            self._definitions = [Definition(raw) for raw in definitions]
            self._news.set()

    def close(self) -> None:
        """Begin nothing more. The thread ends once the store is closed."""
        self._closing.set()
        self._news.set()

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            try:
                self._turn(self._broker())
                pause = _FIRST_PAUSE
            except Exception as error:  # noqa: BLE001 - a schedule never ends for want of a store
                if not self._closing.is_set():
                    _log.warning("the schedules are put off for %g s: %s", pause, error)
                    self._told(True)
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _turn(self, broker: Broker) -> None:
        self._news.clear()
        wanted = self._definitions
        if self._established is not wanted:
            if broker.capabilities.browse:
                check(wanted, broker)
                establish(broker, self._app, wanted, time.time())
            self._established = wanted
        if not wanted:  # the schedules of other apps are for their workers
            self._told(False)
            if not self._closing.is_set():
                self._news.wait()
            return
        claimed = carry_out(broker, time.time)
        self._told(bool(claimed.leases))
        if not claimed.leases:
            broker.wait(QUEUE, claimed.seen, _LOOK)
