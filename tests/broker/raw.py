"""Clients that say what a test wants said, and wait only when they are told to."""

from __future__ import annotations

import socket

from distqueue.broker.event import Applied, Apply, Body, Event, Wait, Woken, decode, encode, request
from distqueue.broker.frames import Frames, framed
from distqueue.commands import Claim
from distqueue.results import Claimed, Seen

from .conftest import PATIENCE


def connected(path: str) -> socket.socket:
    """Return a socket to the broker process at a path that has been welcomed."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    sock.connect(path)
    assert b"welcome" in sock.recv(65536)
    return sock


def is_cut_off(sock: socket.socket) -> bool:
    """Whether the broker process hangs up, whatever it says before."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


class Client:
    """A client of queue ``default``."""

    def __init__(self, path: str) -> None:
        self.socket = connected(path)
        self._frames = Frames()
        self._number = 0

    def say(self, body: Apply | Wait) -> None:
        self._number += 1
        self.socket.sendall(framed(encode(request(self._number, body))))

    def hear(self) -> Body:
        while not (events := [decode(frame) for frame in self._frames.whole()]):
            data = self.socket.recv(65536)
            assert data, "the broker process hung up"
            self._frames.feed(data)
        event: Event = events[0]
        return event.body

    def park(self, token: str, count: int = 1, seen: Seen | None = None, lease: float = 30.0) -> None:
        """Claim, which finds nothing, and let the claim wait from then on."""
        claim = Claim(queue="default", token=token, count=count, lease=lease)
        if seen is None:
            self.say(Apply([claim]))
            applied = self.hear()
            assert isinstance(applied, Applied)
            claimed = applied.outcomes[0]
            assert isinstance(claimed, Claimed)
            assert not claimed.leases
            seen = claimed.seen
        self.say(Wait("default", seen, None, claim))

    def leases(self) -> list[bytes]:
        """Return the data of the tasks that the parked claim got."""
        woken = self.hear()
        assert isinstance(woken, Woken)
        return [bytes(lease.data) for lease in woken.leases]

    def is_quiet(self) -> bool:
        """Whether nothing has been said to it by the time that it gets an answer to something else."""
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(65536)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
