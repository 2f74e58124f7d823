"""A child process that carries out commands for a test: ``python -m distqueue.conformance.agent URL``.

It opens the URL, says so, and then answers one line with one line until its input ends. The parent's
side is :class:`distqueue.conformance.processes.OtherProcess`.
"""

from __future__ import annotations

import sys
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.commands import AnyCommand
from distqueue.errors import DistqueueError, Refused
from distqueue.opening import open_broker
from distqueue.results import AnyResult, Outcome, Seen


class Apply(msgspec.Struct, frozen=True, tag="apply"):
    """Ask for ``Broker.apply``."""

    commands: list[AnyCommand]


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Ask for ``Broker.wait``."""

    queue: str
    seen: Seen
    timeout: float | None


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """An error, as the name of its class and its message."""

    error: str
    message: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child has opened the URL."""


class Outcomes(msgspec.Struct, frozen=True, tag="outcomes"):
    """What ``apply`` returned: at each position a list of one result, or of one failure."""

    results: list[AnyResult | None]
    refusals: list[Failure | None]


class Woken(msgspec.Struct, frozen=True, tag="woken"):
    """What ``wait`` returned."""

    seen: Seen


type Request = Apply | Wait
type Reply = Ready | Outcomes | Woken | Failure

encode: Final = msgspec.json.Encoder(enc_hook=bytes).encode
"""Encodes a request or a reply; a payload is a kind of bytes that msgspec does not know."""
decode_request: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
decode_reply: Final[msgspec.json.Decoder[Reply]] = msgspec.json.Decoder(Reply)


def main(url: str) -> None:
    """Open the URL and answer requests until the input ends."""
    try:
        broker = open_broker(url)
    except DistqueueError as error:
        _say(_failure(error))
        return
    _say(Ready())
    for line in sys.stdin.buffer:
        _say(_answer(broker, decode_request.decode(line)))
    broker.close()


def _answer(broker: Broker, request: Request) -> Reply:
    try:
        match request:
            case Apply(commands):
                return _outcomes(broker.apply(commands))
            case Wait(queue, seen, timeout):
                return Woken(broker.wait(queue, seen, timeout))
    except DistqueueError as error:
        return _failure(error)


def _outcomes(outcomes: list[Outcome]) -> Outcomes:
    return Outcomes(
        results=[None if isinstance(outcome, Refused) else outcome for outcome in outcomes],  # type: ignore[misc]
        refusals=[_failure(outcome) if isinstance(outcome, Refused) else None for outcome in outcomes],
    )


def _failure(error: DistqueueError) -> Failure:
    return Failure(error=type(error).__name__, message=str(error))


def _say(reply: Reply) -> None:
    sys.stdout.buffer.write(encode(reply) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
