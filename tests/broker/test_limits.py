"""The bounds of a broker process, made small so that they can be reached."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from distqueue.broker.event import Apply, encode, request
from distqueue.broker.frames import framed
from distqueue.commands import Browse, Put
from distqueue.conformance.serving import Serving
from distqueue.payload import Payload

from .conftest import wait_until


@contextmanager
def client(serving: Serving) -> Iterator[socket.socket]:
    """A socket that has been welcomed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(20)
        sock.connect(serving.path)
        assert b"welcome" in sock.recv(65536)
        yield sock


def hangs_up(sock: socket.socket) -> bool:
    """Read until the other side has hung up."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def test_the_fullest_goes_when_too_much_is_pending(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distqueue.broker.links.MOST_PENDING", 300_000)
    frame = framed(encode(request(1, Apply([Put.make("q", "x", Payload(b'"%b"' % (b"x" * 200_000)))]))))
    serving = Serving(url)
    with (
        closing(serving.enter(serving.dial_socket)) as broker,
        client(serving) as small,
        client(serving) as large,
        client(serving) as last,
    ):
        small.sendall(frame[:100_000])
        large.sendall(frame[:-1])
        broker.apply([])  # all of that has been taken in
        last.sendall(frame[:50_000])
        assert hangs_up(large)
        small.sendall(frame[100_000:])
        assert b"stored" in small.recv(65536)


def test_one_that_leaves_its_answer_unread_is_cut_off(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distqueue.broker.link.PATIENCE", 0.2)
    serving = Serving(url)
    with closing(serving.enter(serving.dial_socket)) as broker:
        broker.apply([Put.make("q", f"t{n}", Payload(b'"%b"' % (b"x" * 100_000))) for n in range(50)])
        with client(serving) as deaf:
            deaf.sendall(framed(encode(request(1, Apply([Browse(queue="q", limit=50)])))))
            wait_until(lambda: serving.clients == 1, "the end of a client that does not read")
        assert broker.apply([]) == []
