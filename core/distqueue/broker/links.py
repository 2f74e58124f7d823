"""All clients of a broker process: they come, ask, take their answers or not, and go."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from logging import getLogger
from typing import Final

from distqueue.broker.event import Event, Failed, Failure, encode, goodbye, reply
from distqueue.broker.frames import MAX_FRAME
from distqueue.broker.link import Cut, Link

MOST_LINKS: Final = 2000
"""How many clients may be connected; one more is turned away."""
MOST_PENDING: Final = 256 * 1024 * 1024
"""How many bytes may have arrived and not be carried out, of all clients together."""
_LAST_WORDS: Final = 5.0
"""How long a broker process that ends tries to deliver its answers, in seconds."""

_log: Final = getLogger("distqueue")


class Links:
    """Reads and writes in the loop of a selector; no client ever delays another.

    ``came``, ``asked`` and ``gone`` are called when one has connected, for each event, and when one has
    hung up or was cut off.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        *,
        came: Callable[[Link], None],
        asked: Callable[[Link, Event], None],
        gone: Callable[[Link], None],
    ) -> None:
        self._selector = selector
        self._came = came
        self._asked = asked
        self._gone = gone
        self._links: set[Link] = set()
        self._pending = 0

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links))

    def __contains__(self, link: Link) -> bool:
        return link in self._links

    def listen(self, listener: socket.socket) -> None:
        """Take in whoever connects to a socket."""
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, partial(self._accept, listener))

    def add(self, sock: socket.socket, pid: int | None = None) -> None:
        """Take in a client, whose process is ``pid`` if that is not the one that the socket names."""
        link = Link(sock, pid)
        if len(self._links) >= MOST_LINKS or link.uid not in (os.getuid(), 0):
            self._turn_away(link)
            return
        self._links.add(link)
        self._selector.register(link, selectors.EVENT_READ, partial(self._read, link))
        self._came(link)

    def say(self, link: Link, event: Event) -> bool:
        """Say something to a client, if it is still there; ``False`` if it is too much for one frame."""
        if link not in self._links:
            return True
        if len(frame := encode(event)) > MAX_FRAME:
            return False
        try:
            link.send(frame)
        except Cut as cut:
            self.drop(link, cut)
            return True
        if link.has_unsent:  # until it has taken its answers, nothing more is read from it
            self._selector.modify(link, selectors.EVENT_WRITE, partial(self._flush, link))
        return True

    def of(self, pid: int) -> list[Link]:
        """Return the clients in a process."""
        return [link for link in self._links if link.pid == pid]

    def drop(self, link: Link, why: Cut) -> None:
        """Hang up on a client, if it is still there."""
        if link not in self._links:
            return
        _log.info("client (pid %s): %s", link.pid, why)
        self._links.discard(link)
        self._pending -= link.pending
        self._selector.unregister(link)
        link.close()
        self._gone(link)

    def check_patience(self) -> None:
        """Cut off who leaves an answer unread for too long."""
        for link in self:
            try:
                link.check_patience()
            except Cut as cut:
                self.drop(link, cut)

    def close(self, *, says_goodbye: bool) -> None:
        """Deliver the last answers, and hang up."""
        if says_goodbye:
            for link in self:
                self.say(link, goodbye())
        deadline = time.monotonic() + _LAST_WORDS
        while (slow := [link for link in self if link.has_unsent]) and time.monotonic() < deadline:
            self._selector.select(0.05)
            for link in slow:
                self._flush(link)
        for link in self:
            link.close()

    # --- Within ---------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        try:
            self.add(listener.accept()[0])
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.01)  # it stays readable, and there is nothing to be done but wait

    def _turn_away(self, link: Link) -> None:
        is_ours = link.uid in (os.getuid(), 0)
        why = f"it has {len(self._links)} clients" if is_ours else f"user {link.uid} is not its own"
        _log.warning("a client (pid %s) was turned away: %s", link.pid, why)
        with suppress(Cut):
            failure = Failure("StoreBusy", f"the broker process turned this client away: {why}")
            link.send(encode(reply(0, Failed(failure))))
        link.close()

    def _read(self, link: Link) -> None:
        try:
            before = link.pending
            try:
                events = link.receive()
            finally:
                self._pending += link.pending - before
            for event in events:
                self._asked(link, event)
            if self._pending > MOST_PENDING:
                fullest = max(self._links, key=lambda each: each.pending)
                self.drop(fullest, Cut("too much is pending, and most is its own; send less at once"))
        except Cut as cut:
            self.drop(link, cut)

    def _flush(self, link: Link) -> None:
        try:
            link.flush()
        except Cut as cut:
            self.drop(link, cut)
            return
        if not link.has_unsent:
            self._selector.modify(link, selectors.EVENT_READ, partial(self._read, link))
