"""Where a broker process listens: a Unix socket that only its own user reaches."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from typing import Final

from distqueue.errors import StoreError

_LONGEST: Final = 100
"""How many bytes the path of a Unix socket may have; Linux allows 107, others less."""
_NAME: Final = "socket"


class Address:
    """The path of a socket, in a directory that is this user's alone.

    That is ``Queue.json.broker/`` beside a store in a file, or a new directory for temporary files where
    there is none, or the path would be too long for a socket.
    """

    def __init__(self, path: str | None, store: str | None, before: str | None = None) -> None:
        self._temporary: str | None = None
        self._made: str | None = None
        self._is_listening = False
        self.path = os.path.abspath(path) if path is not None else self._beside(store, before)

    def listen(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            StoreError: that is not possible; the message says why.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._make_way()
            listener.bind(self.path)
            self._is_listening = True
            os.chmod(self.path, 0o600)
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise StoreError(
                f"no broker process can listen at {self.path}: {error.strerror or error}; "
                "choose another path with --socket"
            ) from error
        except BaseException:
            listener.close()
            raise
        return listener

    def close(self) -> None:
        """Remove the socket and what was made for it."""
        if self._is_listening:  # else what is there is somebody else's
            with suppress(OSError):
                os.unlink(self.path)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        elif self._made is not None:
            with suppress(OSError):
                os.rmdir(self._made)

    def _beside(self, store: str | None, before: str | None) -> str:
        if store is not None:
            folder = f"{os.path.abspath(store)}.broker"
            if len(os.fsencode(os.path.join(folder, _NAME))) <= _LONGEST:
                with suppress(FileExistsError):
                    os.mkdir(folder, 0o700)
                _check_private(folder)
                self._made = folder
                return os.path.join(folder, _NAME)
        if before is not None and os.path.isdir(os.path.dirname(before)):  # clients know it by that name
            _check_private(os.path.dirname(before))
            self._temporary = os.path.dirname(before)
            return before
        self._temporary = tempfile.mkdtemp(prefix="distqueue-")
        return os.path.join(self._temporary, _NAME)

    def _make_way(self) -> None:
        """Remove the socket of a broker process that is gone; leave anything else alone."""
        try:
            if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
                raise StoreError(f"{self.path} is in the way, and is not a socket; move it")
        except FileNotFoundError:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self.path)
            except OSError:
                os.unlink(self.path)
            else:
                raise StoreError(f"a broker process listens at {self.path} already; stop it first")


def _check_private(folder: str) -> None:
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise StoreError(f"{folder} is in the way, and is not a directory of ours; move it")
    if stat.S_IMODE(status.st_mode) & 0o077:
        os.chmod(folder, 0o700)
