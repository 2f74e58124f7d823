"""What the threads of a child say to its worker: all of it, at once, in order."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from distqueue.app.ended import Ended
from distqueue.broker.frames import Frames
from distqueue.worker.outbox import Outbox
from distqueue.worker.wire import PIECE, Result, decode_from_child


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The child's end and its worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def result(receipt: str) -> Result:
    return Result(receipt=receipt, ended=Ended(verb="ack"))


def receipts(piece: bytes) -> list[str]:
    frames = Frames()
    frames.feed(piece)
    found = []
    for message in map(decode_from_child, frames.whole()):
        assert isinstance(message, Result)
        found.append(message.receipt)
    return found


def test_what_a_thread_says_is_sent_at_once(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    box = Outbox(ours)
    for receipt in ("a", "b"):
        box.say(result(receipt))
        assert receipts(theirs.recv(PIECE)) == [receipt]


def test_what_is_said_while_another_thread_sends_is_sent_without_waiting(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = sockets
    box = Outbox(ours)
    names = [str(number) for number in range(1_000)]  # more than the socket holds before anybody reads

    def say_all(of: str) -> None:
        for name in names:
            box.say(result(of + name))

    threads = [threading.Thread(target=say_all, args=(of,)) for of in ("a", "b")]
    for thread in threads:
        thread.start()
    got: list[str] = []
    theirs.settimeout(20)
    while len(got) < 2 * len(names):
        got += receipts(theirs.recv(PIECE))
    for thread in threads:
        thread.join()
    for of in ("a", "b"):  # what one thread says stays in order
        assert [name for name in got if name.startswith(of)] == [of + name for name in names]
