"""The bounds of a broker process, made small so that they can be reached."""

from __future__ import annotations

from contextlib import closing

import pytest

from distqueue.broker.event import Apply, encode, request
from distqueue.broker.frames import framed
from distqueue.commands import Browse, Put
from distqueue.conformance.serving import Serving
from distqueue.payload import Payload

from .conftest import wait_until
from .raw import connected, is_cut_off


def test_the_fullest_goes_when_too_much_is_pending(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distqueue.broker.links.MOST_PENDING", 300_000)
    frame = framed(encode(request(1, Apply([Put.make("q", "x", Payload(b'"%b"' % (b"x" * 200_000)))]))))
    serving = Serving(url)
    with (
        closing(serving.enter(serving.dial_socket)) as broker,
        connected(serving.path) as small,
        connected(serving.path) as large,
        connected(serving.path) as last,
    ):
        small.sendall(frame[:100_000])
        large.sendall(frame[:-1])
        broker.apply([])  # all of that has been taken in
        last.sendall(frame[:50_000])
        assert is_cut_off(large)
        small.sendall(frame[100_000:])
        assert b"stored" in small.recv(65536)


def test_one_that_leaves_its_answer_unread_is_cut_off(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distqueue.broker.link.PATIENCE", 0.2)
    serving = Serving(url)
    with closing(serving.enter(serving.dial_socket)) as broker:
        broker.apply([Put.make("q", f"t{n}", Payload(b'"%b"' % (b"x" * 100_000))) for n in range(50)])
        with connected(serving.path) as deaf:
            deaf.sendall(framed(encode(request(1, Apply([Browse(queue="q", limit=50)])))))
            wait_until(lambda: serving.clients == 1, "the end of a client that does not read")
        assert broker.apply([]) == []
