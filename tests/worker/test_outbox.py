"""What threads and loops of a child say to its worker: together where it comes together, none of it late."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing

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


def run_on_loop(*callbacks: object) -> None:
    """Run callbacks in one turn of a loop, and what they leave to the next."""

    async def main() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    for callback in callbacks:
        loop.call_soon(callback, loop)  # type: ignore[arg-type]
    loop.run_until_complete(main())
    loop.close()


def test_what_a_thread_says_is_sent_at_once(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    box = Outbox(ours)
    for receipt in ("a", "b"):
        box.say(result(receipt))
        assert receipts(theirs.recv(PIECE)) == [receipt]


def test_what_a_loop_says_is_sent_in_the_order_in_which_it_is_said(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = sockets
    names = [str(number) for number in range(100)]
    with closing(Outbox(ours)) as box:
        run_on_loop(*[lambda loop, name=name: box.say_from(loop, result(name)) for name in names])
        got: list[str] = []
        theirs.settimeout(20)
        while len(got) < len(names):
            got += receipts(theirs.recv(PIECE))
    assert got == names


def test_a_callback_that_blocks_the_loop_does_not_hold_up_what_was_said_before(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = sockets
    theirs.settimeout(20)
    seen: list[str] = []
    with closing(Outbox(ours)) as box:
        run_on_loop(
            lambda loop: box.say_from(loop, result("a")), lambda _: seen.extend(receipts(theirs.recv(PIECE)))
        )
    assert seen == ["a"]
