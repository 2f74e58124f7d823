"""What one process has open for a queue: the broker, and the threads that serve it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from logging import getLogger
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.commands import Claim, Command, Release
from distqueue.defaults import Defaults
from distqueue.errors import CarriedAcrossFork, Closed
from distqueue.outcomes import leases_in
from distqueue.renewal import Renewal
from distqueue.results import Outcome
from distqueue.unwaited import Unwaited

_PAUSE: Final = 0.01
_logger: Final = getLogger("distqueue")


class Session:
    """Opens the broker when it is first needed. Belongs to the process that made it, and to no other."""

    def __init__(self, open_broker: Callable[[], Broker], queue: str, defaults: Defaults) -> None:
        self.queue = queue
        self.backoff = defaults.retry
        self.renewal = Renewal(self.apply, queue)
        self.unwaited = Unwaited(self.apply, defaults.flush_interval)
        self.claims: set[threading.RLock] = set()
        """One lock for each claim under way, held while it is: closing waits for them."""
        self._pid = os.getpid()
        self._open_broker = open_broker
        self._opening = threading.Lock()
        self._broker: Broker | None = None
        self._is_closed = False

    @property
    def broker(self) -> Broker:
        """The broker, opened by whoever asks first."""
        if self._broker is None:
            with self._opening:
                if self._is_closed:
                    raise Closed("the queue has been closed; open another one")
                if self._broker is None:
                    self._broker = self._open_broker()
        return self._broker

    @property
    def is_open(self) -> bool:
        """Whether the broker has been opened."""
        return self._broker is not None

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands."""
        return (self._broker or self.broker).apply(commands)

    def settle_claims(self) -> None:
        """Wait for the claims under way; those that are parked are not parked any longer."""
        for in_flight in list(self.claims):
            while not in_flight.acquire(timeout=_PAUSE):
                if self._broker is not None:
                    self._broker.unpark()
            in_flight.release()

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Release whatever claims with an unknown outcome have taken; what fails is only logged."""
        try:
            again = [msgspec.structs.replace(claim, again=True) for claim in claims]
            self.release([lease.receipt for lease in leases_in(self.apply(again))])
        except Exception as error:  # noqa: BLE001 - must not hide the error that led here
            _logger.warning("what was claimed stays leased until its lease ends: %s", error)

    def release(self, receipts: Sequence[str]) -> None:
        """Release deliveries that nobody will handle."""
        if receipts:
            self.apply([Release(queue=self.queue, receipt=receipt) for receipt in receipts])

    def check_process(self) -> None:
        """Refuse to go on in a process that a fork has made.

        Raises:
            CarriedAcrossFork: this is not the process that made the session.
        """
        if os.getpid() != self._pid:
            raise CarriedAcrossFork(
                "the delivery was claimed by another process; claim it in the process that handles it"
            )

    def close(self) -> None:
        """Store what nobody waited for, end the threads, close the broker. Twice is the same as once."""
        self.unwaited.close()
        self.renewal.close()
        with self._opening:
            self._is_closed = True
            if self._broker is not None:
                self._broker.close()
