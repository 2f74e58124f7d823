"""A way to a server on which connections break, or fall silent, at a chosen moment."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from enum import Enum
from typing import Self
from urllib.parse import urlsplit

_MOST = 1 << 16


class Harm(Enum):
    """What is done to a connection when the client says something."""

    UNSAID = "it is hung up, and the server never hears it"
    UNANSWERED = "the server hears it, and it is hung up once the server has answered"
    SILENT = "the server hears neither that nor anything else until all may speak again"


class Proxy:
    """Passes on what clients and the server of a URL say to each other, until harm is done."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._port = parts.port or 5432
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = url.replace(f":{self._port}/", f":{port}/", 1)
        """The URL of the server by way of the proxy."""
        self._harm: Harm | None = None
        self._skip = 0
        self._was_done = threading.Event()
        self._may_speak = threading.Event()
        self._may_speak.set()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._may_speak.set()
        self._listener.close()
        self.hang_up()

    def do(self, harm: Harm, skip: int = 0) -> None:
        """Do harm, once, when a client says something, after it has said something else so often."""
        self._was_done.clear()
        self._skip, self._harm = skip, harm

    def was_done(self) -> bool:
        """Whether it was; if not, it is not done any more."""
        was_done, self._harm = self._harm is None, None
        return was_done

    def wait(self, patience: float = 30.0) -> None:
        """Return once it was done."""
        assert self._was_done.wait(patience), f"nothing has come by for {patience} s"

    def let_speak(self) -> None:
        """Pass on what was held back."""
        self._may_speak.set()

    def hang_up(self) -> None:
        """Break all connections."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket() as server, suppress(OSError):
            server.connect(("127.0.0.1", self._port))
            self._sockets += [client, server]
            while True:
                speaker = select.select([client, server], [], [])[0][0]
                said = speaker.recv(_MOST)
                if not said or (speaker is client and not self._passes(said, server)):
                    return
                (server if speaker is client else client).sendall(said)

    def _passes(self, said: bytes, server: socket.socket) -> bool:
        """Whether what a client says is to be passed on, and more after it."""
        harm = self._due_harm()
        if harm is Harm.UNANSWERED:
            server.sendall(said)
            server.recv(_MOST)
        self._may_speak.wait()
        return harm is None or harm is Harm.SILENT

    def _due_harm(self) -> Harm | None:
        if self._harm is None:
            return None
        self._skip -= 1
        if self._skip >= 0:
            return None
        harm, self._harm = self._harm, None
        if harm is Harm.SILENT:
            self._may_speak.clear()
        self._was_done.set()
        return harm
