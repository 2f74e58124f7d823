"""A client's end of a pipe or a socket to a broker process: it asks, and waits for the answer."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from typing import Self

from distqueue.broker.event import (
    WIRE,
    Apply,
    Body,
    Event,
    Failed,
    Goodbye,
    Wait,
    Welcome,
    decode,
    encode,
    request,
)
from distqueue.broker.frames import framed, length_of
from distqueue.errors import AckTimeout, StoreError

GREETING_TIMEOUT = 10.0
"""How long a broker process may take to say its first word, in seconds."""
_PIECE, _MOST = 64 * 1024, 4 * 1024 * 1024


class Broken(Exception):
    """The other end is gone, or speaks nonsense.

    ``sent``: it may have done what it was asked last. ``clean``: it said goodbye, and did not.
    """

    def __init__(self, message: str, *, sent: bool = False, clean: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.clean = clean


class Channel:
    """One conversation, for one thread at a time. After an error it is of no more use: close it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._numbers = count(1)
        self._arrived = bytearray()
        self.has_ended = False
        try:
            self.welcome = self._greeting()
        except BaseException:
            sock.close()
            raise

    @classmethod
    def to_socket(cls, path: str) -> Self:
        """Connect to the Unix socket at a path.

        Raises:
            OSError: nobody listens there.
            Broken: who listens there is no broker process.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(GREETING_TIMEOUT)
            sock.connect(path)
        except FileNotFoundError:
            sock.close()
            raise FileNotFoundError(f"there is no socket at {path}") from None
        except ConnectionRefusedError:
            sock.close()
            raise ConnectionRefusedError(f"nobody listens at {path}") from None
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    @classmethod
    def over_pipe(cls, pipe: Connection) -> Self:
        """Speak over one end of a ``multiprocessing.Pipe``, which is taken over."""
        with pipe:
            return cls(socket.socket(fileno=os.dup(pipe.fileno())))

    def ask(self, body: Apply | Wait, timeout: float) -> Body:
        """Ask, and return the answer.

        Raises:
            Broken: the other end is gone.
            AckTimeout: no answer came within ``timeout`` seconds.
        """
        number = next(self._numbers)
        self._socket.settimeout(timeout)
        try:
            self._send(framed(encode(request(number, body))))
            event = self._receive()
        except TimeoutError:
            raise AckTimeout(
                f"the broker process did not answer within {timeout:g} s; publish again with the same task id"
            ) from None
        if event.id != number:
            raise Broken("the broker process answers what was not asked", sent=True)
        return event.body

    def interrupt(self) -> None:
        """Let whoever waits for an answer, in another thread, find the channel broken."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Ask for nothing more: whoever waits for an answer gets what is under way, or finds it broken."""
        self.has_ended = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hang up, also where a process that was forked holds the socket open."""
        self.interrupt()
        self._socket.close()

    def _greeting(self) -> Welcome:
        self._socket.settimeout(GREETING_TIMEOUT)
        try:
            body = self._receive().body
        except TimeoutError:
            raise Broken(f"no broker process answered within {GREETING_TIMEOUT:g} s") from None
        if isinstance(body, Failed):
            raise body.failure.rebuilt()
        if not isinstance(body, Welcome):
            raise Broken("who listens there is not a broker process")
        if body.wire != WIRE:
            raise StoreError(
                f"the broker process (pid {body.pid}) speaks version {body.wire}, this program {WIRE}: "
                "use the same release of distqueue for both"
            )
        return body

    def _send(self, frame: bytes) -> None:
        try:
            self._socket.sendall(frame)
        except TimeoutError:
            raise
        except OSError as error:  # a frame that is not whole is not carried out
            self._receive_goodbye()
            raise Broken(f"the broker process is gone: {error}") from error

    def _receive_goodbye(self) -> None:
        """Look whether it has said goodbye before it hung up."""
        try:
            self._receive()
        except Broken as broken:
            if broken.clean:
                raise

    def _receive(self) -> Event:
        try:
            event = decode(self._read(length_of(self._read(4))))
        except ValueError as error:
            raise Broken(str(error), sent=True) from None
        except TimeoutError:
            raise
        except OSError as error:
            raise Broken(f"the broker process is gone: {error}", sent=True) from error
        if isinstance(event.body, Goodbye):
            raise Broken("the broker process was stopped", clean=True)
        return event

    def _read(self, size: int) -> bytes:
        arrived = self._arrived
        while len(arrived) < size:
            piece = self._socket.recv(min(max(size - len(arrived), _PIECE), _MOST))
            if not piece:
                raise Broken("the broker process is gone", sent=True)
            arrived += piece
        data = bytes(arrived[:size])
        del arrived[:size]
        return data
