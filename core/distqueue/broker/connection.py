"""A broker in another process, as a :class:`~distqueue.broker.Broker`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from logging import getLogger
from typing import Final, Self

from msgspec.structs import replace

from distqueue.broker import Broker
from distqueue.broker.again import apply_again
from distqueue.broker.channel import Broken, Channel
from distqueue.broker.event import Applied, Apply, Body, Failed, Wait, Woken, encode, request
from distqueue.broker.parked import LONGEST
from distqueue.capabilities import Capabilities
from distqueue.commands import Claim, Command, Put
from distqueue.errors import BrokerGone, Closed, InvalidTask, OutcomeUnknown
from distqueue.limits import check_batch, check_types
from distqueue.outcomes import leases_in
from distqueue.results import Lease, Outcome, Seen

GRACE: Final = 10.0
"""How long a client waits for a broker process to come back, in seconds."""
ANSWER_TIMEOUT: Final = 60.0
"""How long a client waits for the answer to a call, in seconds."""
_log: Final = getLogger("distqueue")
_WAIT_TIMEOUT: Final = LONGEST + ANSWER_TIMEOUT
_PAUSE: Final = 0.02
_SOON: Final = 1.0
"""How long nothing is said of a broker process that is gone, in seconds: one that is watched comes back."""
_RESTART: Final = 3.0
"""How long a client waits for a socket that is not there, in seconds: what is watched comes back."""
_REMEDY: Final = "no broker process serves there: start one with `distqueue serve`"
_UNSAYABLE: Final = (InvalidTask, UnicodeEncodeError, OverflowError, TypeError)
"""What encoding raises for a lone surrogate, a number beyond 64 bits, and what is no JSON."""


class Gone(Exception):
    """The broker process is gone and did not come back, or (``clean``) said goodbye.

    ``sent``: what was asked may have been carried out since ``began`` (seconds since the Unix epoch).
    """

    def __init__(self, message: str, *, sent: bool, began: float) -> None:
        super().__init__(message)
        self.sent = sent
        self.began = began


class Connection(Broker):
    """Asks a broker process, and asks again if that dies meanwhile.

    Asking twice is safe, see :mod:`distqueue.broker.again`. ``dial`` opens a channel; threads that ask at
    the same time have one each.
    """

    def __init__(
        self, dial: Callable[[], Channel], grace: float = GRACE, first: Channel | None = None
    ) -> None:
        self._dial = dial
        self._grace = grace
        self._lock = threading.Lock()
        self._idle: list[Channel] = []
        self._busy: dict[Channel, str | None] = {}
        """With the token of the claim that is parked there."""
        self._closed = threading.Event()
        self._was_stopped = False
        self._has_said_gone = False
        channel = first or self._first()
        self._capabilities = channel.welcome.capabilities
        self._idle.append(channel)

    @classmethod
    def to_socket(cls, path: str) -> Self:
        """Connect to the broker process that listens at a path: what ``broker:///path.sock`` names.

        Raises:
            BrokerGone: nobody listens there.
        """
        return cls(partial(Channel.to_socket, path))

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        check_batch(commands, self._capabilities)
        try:
            return self.attempt(commands, waits_after_goodbye=True)
        except Gone as gone:
            if gone.sent:
                raise OutcomeUnknown(f"{gone}; publish again with the same task ids") from None
            raise BrokerGone(f"{gone}; nothing was stored") from None

    def attempt(self, commands: Sequence[Command], *, waits_after_goodbye: bool = False) -> list[Outcome]:
        """Carry out commands, as :meth:`apply`.

        Raises:
            Gone: the broker process did not come back within the grace, or said goodbye.
        """
        sent, deadline, began = False, None, time.time()
        while True:
            try:
                outcomes = apply_again(self._apply, commands, began) if sent else self._apply(commands)
                self._was_stopped = False
                self._has_said_gone = False
                return outcomes
            except Broken as broken:
                if self._closed.is_set():
                    raise Closed("the queue was closed") from None
                sent = sent or broken.sent
                is_clean = broken.clean or self._was_stopped
                if deadline is None:
                    deadline = time.monotonic() + self._grace
                if time.monotonic() >= deadline or (is_clean and not waits_after_goodbye):
                    raise Gone(str(broken), sent=sent, began=began) from None
                self._say_gone(deadline)
            time.sleep(_PAUSE)

    def _say_gone(self, deadline: float) -> None:
        """Say once what is waited for, unless it comes soon."""
        left = deadline - time.monotonic()
        if left > self._grace - _SOON or self._has_said_gone:
            return
        self._has_said_gone = True
        _log.warning("the broker process is gone: waiting for up to %.0f s more that one comes back", left)

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        try:
            return self._ask(Wait(queue, seen, timeout), Woken, _WAIT_TIMEOUT).seen
        except Broken as broken:
            if self._closed.is_set():
                raise Closed("the queue was closed while waiting") from None
            self._was_stopped = self._was_stopped or broken.clean
            return Seen()  # look for yourself: the next claim finds out what became of the broker process

    def park(self, claim: Claim, seen: Seen, timeout: float | None) -> list[Lease]:
        try:
            return self.attempt_park(claim, seen, timeout)
        except Gone:
            return leases_in(self.apply([replace(claim, again=True)]))

    def attempt_park(self, claim: Claim, seen: Seen, timeout: float | None) -> list[Lease]:
        """Let a claim wait, as :meth:`park`.

        Raises:
            Gone: it may have been carried out, and the answer is lost.
        """
        began = time.time()
        try:
            return self._ask(Wait(claim.queue, seen, timeout, claim), Woken, _WAIT_TIMEOUT).leases
        except Broken as broken:
            if self._closed.is_set():
                raise Closed("the queue was closed while waiting") from None
            self._was_stopped = self._was_stopped or broken.clean
            if broken.sent:
                raise Gone(str(broken), sent=True, began=began) from None
            return []

    def unpark(self, token: str | None = None) -> None:
        with self._lock:
            parked = [channel for channel, held in self._busy.items() if held and token in (None, held)]
        for channel in parked:
            channel.end()

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for channel in busy:
            channel.interrupt()
        for channel in idle:
            channel.close()

    def _first(self) -> Channel:
        """Return the first channel, of a broker process that may be on its way back."""
        began = time.monotonic()
        deadline = began + self._grace
        while True:
            try:
                return self._dial()
            except FileNotFoundError as error:
                if time.monotonic() >= min(deadline, began + _RESTART):
                    raise BrokerGone(
                        f"{error}: no broker process serves there; start one with `distqueue serve`"
                    ) from error
            except (OSError, Broken) as error:
                if time.monotonic() >= deadline:
                    raise BrokerGone(
                        f"{error}: no broker process answers there; start one with `distqueue serve`"
                    ) from error
            time.sleep(_PAUSE)

    def _apply(self, commands: Sequence[Command]) -> list[Outcome]:
        try:
            if set(map(type, commands)) != {Put}:  # what a put says was checked when it was made
                for command in commands:
                    check_types(command)
            return self._ask(Apply.of(commands), Applied, ANSWER_TIMEOUT).rebuilt()
        except _UNSAYABLE:
            return self._apply_sayable(commands)

    def _apply_sayable(self, commands: Sequence[Command]) -> list[Outcome]:
        """Refuse the commands that hold a text or a number that is none, and carry out the rest."""
        refusals = [_refusal(command) for command in commands]
        if not any(refusals):
            raise InvalidTask("the commands cannot be written down; look at their names, headers and numbers")
        rest = [command for command, refusal in zip(commands, refusals) if refusal is None]
        outcomes = iter(self._apply(rest) if rest else ())
        return [refusal or next(outcomes) for refusal in refusals]

    def _ask[R: Applied | Woken](self, body: Apply | Wait, kind: type[R], timeout: float) -> R:
        token = body.claim.token if isinstance(body, Wait) and body.claim is not None else None
        channel = self._take(token)
        answer: Body | None = None
        try:
            answer = channel.ask(body, timeout)
        finally:
            self._give_back(channel, is_whole=answer is not None)
        if isinstance(answer, Failed):
            raise answer.failure.rebuilt()
        if not isinstance(answer, kind):
            raise Broken("the broker process answers what was not asked", sent=True)
        return answer

    def _take(self, token: str | None) -> Channel:
        """Return a channel for one call, which parks the claim with this token: an idle one, or a new one."""
        with self._lock:
            if self._closed.is_set():
                raise Closed("the queue was closed")
            channel = self._idle.pop() if self._idle else None
            if channel is not None:
                self._busy[channel] = token
                return channel
        try:
            channel = self._dial()
        except OSError as error:
            raise Broken(f"no broker process can be reached: {error}") from error
        self._capabilities = channel.welcome.capabilities
        with self._lock:
            self._busy[channel] = token
            if self._closed.is_set():
                channel.interrupt()
        return channel

    def _give_back(self, channel: Channel, *, is_whole: bool) -> None:
        """Keep a channel for the next call. Where one is broken the idle ones are too."""
        with self._lock:
            del self._busy[channel]
            if is_whole and not channel.has_ended and not self._closed.is_set():
                self._idle.append(channel)
                return
            idle: list[Channel] = []
            if not channel.has_ended:
                idle, self._idle = self._idle, []
        for each in (channel, *idle):
            each.close()


def _refusal(command: Command) -> InvalidTask | None:
    try:
        check_types(command)
        encode(request(0, Apply.of([command])))
    except InvalidTask as refusal:
        return refusal.with_traceback(None)
    except _UNSAYABLE as error:
        return InvalidTask(f"a text or a number in the task is not allowed: {error}")
    return None
