"""A child process that carries out commands for a test: ``python -m distqueue.conformance.agent``.

It opens the URL in the first line of its input, says so, and then answers one line with one line until its
input ends. A line is an event as a broker process speaks it, in base64. The parent's side is
:class:`distqueue.conformance.processes.OtherProcess`.
"""

from __future__ import annotations

import os
import sys
from binascii import a2b_base64, b2a_base64
from typing import IO

from distqueue.broker import Broker
from distqueue.broker.event import (
    WIRE,
    Applied,
    Apply,
    Body,
    Event,
    Failed,
    Failure,
    Wait,
    Welcome,
    Woken,
    decode,
    encode,
    reply,
)
from distqueue.errors import DistqueueError
from distqueue.opening import open_broker


def to_line(event: Event) -> bytes:
    """Return an event as a line, without the line break."""
    return b2a_base64(encode(event), newline=False)


def from_line(line: bytes) -> Body:
    """Return what the event in a line says."""
    return decode(a2b_base64(line)).body


def main(url: str) -> None:
    """Open the URL and answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a backend prints is no answer, but among the complaints
    try:
        broker = open_broker(url)
    except DistqueueError as error:
        _say(answers, Failed(Failure.of(error)))
        return
    _say(answers, Welcome(WIRE, os.getpid(), broker.capabilities))
    for line in sys.stdin.buffer:
        _say(answers, _answer(broker, from_line(line)))
    broker.close()


def _answer(broker: Broker, request: Body) -> Applied | Woken | Failed:
    try:
        match request:
            case Apply():
                return Applied.of(broker.apply(request.rebuilt()))
            case Wait(queue, seen, timeout):
                return Woken(broker.wait(queue, seen, timeout))
            case _:
                raise DistqueueError(f"{type(request).__name__} is not asked of a child")
    except DistqueueError as error:
        return Failed(Failure.of(error))


def _say(answers: IO[bytes], body: Applied | Woken | Failed | Welcome) -> None:
    line = memoryview(to_line(reply(0, body)) + b"\n")
    while line:
        line = line[answers.write(line) :]


if __name__ == "__main__":
    main(sys.stdin.buffer.readline().decode().removesuffix("\n"))
