"""What came of a handler: the verb that settles its task, as it is told by whoever ran it."""

from __future__ import annotations

from traceback import format_exception
from typing import Literal

import msgspec

from distqueue.app.current import CurrentDelivery
from distqueue.app.policy import Policy
from distqueue.commands import Ack, Put, Reject, Release, Retry, Settle
from distqueue.delivery import error_text
from distqueue.errors import RejectTask, RetryTask
from distqueue.limits import cut_error
from distqueue.retry import Backoff
from distqueue.times import seconds as to_seconds


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How one delivery ended. ``seconds`` is how long the handler ran, ``delay`` also in seconds.

    ``is_whole``: the handler has come to its own end, and did not break off as its lease was lost.
    """

    verb: Literal["ack", "retry", "reject", "release"]
    error: str | None = None
    traceback: str | None = None
    delay: float | None = None
    then: tuple[Put, ...] = ()
    seconds: float = 0.0
    is_whole: bool = False

    def command(self, queue: str, receipt: str, backoff: Backoff) -> Settle:
        """Return the command that settles the delivery."""
        match self.verb:
            case "ack":
                return Ack(queue=queue, receipt=receipt, then=self.then)
            case "retry":
                return Retry(
                    queue=queue,
                    receipt=receipt,
                    delay=self.delay,
                    error=self.error,
                    traceback=self.traceback,
                    backoff=backoff,
                )
            case "reject":
                return Reject(queue=queue, receipt=receipt, error=self.error, traceback=self.traceback)
            case "release":
                return Release(queue=queue, receipt=receipt, delay=self.delay or 0.0)


def acked(delivery: CurrentDelivery, seconds: float) -> Ended:
    """Return what a handler that has returned makes of its task."""
    is_whole = not delivery.knows_loss
    return Ended(verb="ack", then=tuple(delivery.follow_ups), seconds=seconds, is_whole=is_whole)


def ended_by(error: BaseException, policy: Policy, seconds: float) -> Ended:
    """Return what an exception of a handler makes of its task, whatever its class and its values are."""
    try:
        return _as_it_says(error, policy, seconds)
    except BaseException as fault:  # noqa: BLE001 - a text that cannot be made, a delay that is none
        trace = cut_error("".join(format_exception(fault)))
        return Ended(verb="retry", error=cut_error(error_text(fault)), traceback=trace, seconds=seconds)


def _as_it_says(error: BaseException, policy: Policy, seconds: float) -> Ended:
    is_plain = isinstance(error, RetryTask | RejectTask) and str(error)
    text = cut_error(str(error) if is_plain else error_text(error))
    match error:
        case RetryTask():
            delay = None if error.delay is None else max(0.0, to_seconds("delay", error.delay))
            return Ended(verb="retry", error=text, delay=delay, seconds=seconds)
        case RejectTask():
            return Ended(verb="reject", error=text, seconds=seconds)
    return Ended(
        verb="retry" if policy.retries(error) else "reject",
        error=text,
        traceback=cut_error("".join(format_exception(error))),
        seconds=seconds,
    )
