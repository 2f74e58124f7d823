"""Starts a broker process, starts it again when it dies, and kills it when it is stuck."""

from __future__ import annotations

import multiprocessing
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from logging import getLogger
from typing import Final

import msgspec

from distqueue.broker.channel import Channel
from distqueue.broker.control import Client, Control, Failed, Order, Ping, Serve, Serving, Stop
from distqueue.errors import Closed, DistqueueError, OutcomeUnknown, StoreBusy, StoreError
from distqueue.urls import StoreURL

STUCK_AFTER: Final = 30.0
"""How long a broker process may leave its manager without an answer, in seconds, before it is killed."""
START_TIMEOUT: Final = 60.0
"""How long it may take to open its store, in seconds."""
STOP_TIMEOUT: Final = 30.0
"""How long it may take to finish what has arrived, in seconds."""
_PING_EVERY: Final = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0

_log: Final = getLogger("distqueue")


class NotStarted(StoreError):
    """The broker process ended before it said anything."""


class Supervisor:
    """Keeps a broker process for a store alive, from :meth:`start` to :meth:`stop`.

    ``python -m distqueue.broker`` is started, rather than a function in a ``multiprocessing.Process``:
    that needs no main guard, and works in a script that is read from a pipe and at the prompt. ``prepared``
    is a module that runs another one, with its arguments: for what the process needs before it begins.
    """

    def __init__(
        self,
        url: StoreURL,
        options: Mapping[str, object],
        path: str | None = None,
        stuck_after: float = STUCK_AFTER,
        prepared: Sequence[str] = (),
    ) -> None:
        self._order = Serve(url.unredacted(), dict(options), path)
        self._stuck_after = stuck_after
        self._prepared = prepared
        self._pid = os.getpid()
        self._changing = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Control | None = None
        self._failure: DistqueueError | None = None
        self._closing = threading.Event()
        self._wake_reader, self._wake_writer = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="distqueue-supervisor", daemon=True)
        self.address = ""
        """The Unix socket at which other processes reach the store."""
        _living.add(self)
        self.restarts = 0
        """How often the process was started again."""

    @property
    def pid(self) -> int | None:
        """The broker process, if one runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the broker process; return once it serves the store.

        Raises:
            ConfigError, StoreError: it cannot.
        """
        with self._changing:
            if self._closing.is_set():
                raise Closed("the broker manager was closed")
            self._launch()
        self._thread.start()

    def dial(self) -> Channel:
        """Return a new client's channel, over a pipe of its own.

        Raises:
            OSError, Broken: the broker process is not there just now; try again.
            Closed: it was stopped.
            StoreError: it could not be started again.
        """
        with self._changing:
            if self._closing.is_set():
                raise Closed("the broker manager was closed")
            if self._failure is not None:
                raise self._failure
            if self._control is None:
                raise ConnectionError("the broker process is being started again")
            ours, theirs = multiprocessing.Pipe()
            try:
                with theirs:
                    self._control.say(Client(os.getpid()), theirs.fileno())
            except BaseException:
                ours.close()
                raise
        return Channel.over_pipe(ours)

    def stop(self) -> None:
        """Let the broker process finish what has arrived, and wait until it has ended."""
        if self._closing.is_set() or os.getpid() != self._pid:
            return
        self._closing.set()
        os.write(self._wake_writer, b"!")
        if self._thread.ident is not None:
            self._thread.join()
        with self._changing:
            self._say(Stop())
            self._end(STOP_TIMEOUT)
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    # --- One process ----------------------------------------------------------------------------------

    def _launch(self) -> None:
        control, theirs = Control.pair()
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", *self._prepared, "distqueue.broker", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # an interrupt at the keyboard is for the manager
                )
        except BaseException:
            control.close()
            raise
        self._process = process
        try:
            self.address = self._greeted(control)
        except BaseException:
            self._end(0.0)
            control.close()
            raise
        self._control = control
        self._order = msgspec.structs.replace(self._order, before=self.address)

    def _greeted(self, control: Control) -> str:
        """Tell a new process what to serve, and return where it does."""
        try:
            control.socket.settimeout(START_TIMEOUT)
            control.say(self._order)
            news, _ = control.hear()
        except (OSError, EOFError) as error:
            raise NotStarted(f"the broker process did not start: {error or 'it ended'}") from error
        if isinstance(news, Failed):
            raise news.failure.rebuilt()
        if not isinstance(news, Serving):
            raise StoreError("the broker process did not start: it says what is not expected")
        control.socket.settimeout(self._stuck_after)
        return news.path

    def leave_to_parent(self) -> None:
        """Close what a fork copied: the broker process ends with its manager, whatever its children do."""
        if self._control is not None:
            self._control.close()

    def _end(self, patience: float) -> None:
        """Wait for the end of the process, and kill it if that does not come."""
        if self._process is None:
            return
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._control is not None:
            self._control.close()
            self._control = None

    def _say(self, order: Order) -> None:
        if self._control is not None:
            try:
                self._control.say(order)
            except OSError:
                _log.debug("the broker process is gone")

    # --- In the thread --------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closing.is_set():
            if (why := self._trouble()) is not None:
                _log.warning("the broker process (pid %s) %s; it is started again", self._pid_was(), why)
                self._restart()

    def _trouble(self) -> str | None:
        """Return what is wrong, a ping later; ``None`` if all is well."""
        control = self._control
        if control is None:
            return "is not there"
        try:
            control.say(Ping())
            control.hear()
        except TimeoutError:
            return f"gave no sign of life for {self._stuck_after:g} s"
        except (OSError, EOFError):
            return "died"
        select.select([control.socket.fileno(), self._wake_reader], [], [], _PING_EVERY)
        return None

    def _restart(self) -> None:
        with self._changing:
            self._end(0.0)
        pause, began = _FIRST_PAUSE, time.monotonic()
        while not self._closing.is_set():
            with self._changing:
                try:
                    self._launch()
                except (DistqueueError, OSError) as error:
                    self._failure = _lasting(error, time.monotonic() - began)
                    _log.error("the broker process could not be started again: %s", error)
                else:
                    self._failure = None
                    self.restarts += 1
                    return
            self._closing.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _pid_was(self) -> int | None:
        return self._process.pid if self._process is not None else None


def _lasting(error: Exception, seconds: float) -> DistqueueError | None:
    """Return an error that will not pass by itself soon."""
    if isinstance(error, StoreBusy | OutcomeUnknown | NotStarted) and seconds < START_TIMEOUT:
        return None
    return error if isinstance(error, DistqueueError) else StoreError(str(error))


_living: weakref.WeakSet[Supervisor] = weakref.WeakSet()


def _leave_all() -> None:
    for supervisor in list(_living):
        supervisor.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all)
