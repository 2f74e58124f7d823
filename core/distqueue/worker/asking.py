"""The store as a worker asks it: in a thread of its own, so that nothing else waits for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from logging import getLogger
from queue import SimpleQueue
from typing import Final

from distqueue.broker import Broker
from distqueue.commands import Claim, Command
from distqueue.errors import Closed, StoreError, StoreFailed
from distqueue.results import Lease, Outcome, Seen
from distqueue.worker.patience import Patience

_log: Final = getLogger("distqueue.worker")
_PAUSE: Final = 1.0
"""How long a wait that fails is put off, in seconds."""

type Answer = list[Outcome] | Exception


class Asking:
    """Carries out one call at a time; ``tell`` is given the answer, in the thread.

    A store that has failed is opened again for the next call. ``wake`` is called when another thread waits
    for the store, too.
    """

    def __init__(
        self,
        open_broker: Callable[[], Broker],
        tell: Callable[[Answer], None],
        wake: Callable[[], None],
    ) -> None:
        self.is_busy = False
        """Whether a call is under way; its answer ends that."""
        self.broker = open_broker()
        self.patience = Patience()
        self._wake = wake
        self._open_broker = open_broker
        self._tell = tell
        self._calls: SimpleQueue[Sequence[Command] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="distqueue-store", daemon=True)
        self._thread.start()

    def ask(self, commands: Sequence[Command]) -> None:
        """Let commands be carried out; nothing else may be under way."""
        self.is_busy = True
        self.patience.begin(self)
        self._calls.put(commands)

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands in the calling thread; what is asked at the same time is one commit."""
        call = object()
        self.patience.begin(call)
        self._wake()
        with self.patience.until_answered(call):
            return self.broker.apply(commands)

    def close(self) -> None:
        """Finish the call that is under way, and close the store."""
        self._calls.put(None)
        self._thread.join()
        self.broker.close()

    def _run(self) -> None:
        while (commands := self._calls.get()) is not None:
            try:
                with self.patience.until_answered(self):
                    answer: Answer = self.broker.apply(commands)
            except Exception as error:  # noqa: BLE001 - the worker decides what is to be done about it
                answer = error
            if isinstance(answer, StoreFailed | Closed):
                answer = self._reopened(answer)
            self._tell(answer)

    def _reopened(self, fault: StoreError) -> Exception:
        _log.warning("the store is opened again: %s", fault)
        self.broker.close()
        try:
            self.broker = self._open_broker()
        except Exception as error:  # noqa: BLE001 - tried again with the next call
            return error
        return fault


class Watch:
    """Waits for one queue in a thread of its own, for one thing at a time.

    ``tell`` is called there when there is news: with what was claimed, and whether that is known for sure.
    ``unparked`` is called there if the store lets no claim wait.
    """

    def __init__(
        self,
        asking: Asking,
        queue: str,
        tell: Callable[[list[Lease], bool], None],
        unparked: Callable[[], None],
    ) -> None:
        self._asking = asking
        self._queue = queue
        self._tell = tell
        self._unparked = unparked
        self._asked: SimpleQueue[tuple[Seen, Claim | None] | None] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="distqueue-watch", daemon=True)
        self._thread.start()

    def since(self, seen: Seen, claim: Claim | None) -> None:
        """Tell once there may be more than ``seen``; let ``claim`` wait there, if it is given."""
        self._asked.put((seen, claim))

    def close(self) -> None:
        """Tell nothing more. The thread ends once the store is closed."""
        self._closing.set()
        self._asked.put(None)

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            leases: list[Lease] = []
            is_sure = True
            try:
                leases = self._waited(*asked)
            except Exception as error:  # noqa: BLE001 - the next claim finds out what is wrong
                is_sure = False
                if not self._closing.wait(_PAUSE):
                    _log.debug("waiting for %s failed: %s", self._queue, error)
            if not self._closing.is_set():
                self._tell(leases, is_sure)

    def _waited(self, seen: Seen, claim: Claim | None) -> list[Lease]:
        broker = self._asking.broker
        if claim is not None:
            if (leases := broker.park(claim, seen, None)) is not None:
                return leases
            self._unparked()
        broker.wait(self._queue, seen, None)
        return []
