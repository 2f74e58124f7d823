"""The small files beside a store (its lock, its bell): made as needed, never through a link."""

from __future__ import annotations

import os
import stat

from distqueue.errors import StoreError


def open_beside(path: str, kind: str, most_bytes: int) -> int:
    """Open a file of ours for reading and writing, made if it is not there; ``kind`` says which it is.

    Raises:
        StoreError: something else is at the path, or it may not be opened; it is left as it is.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise StoreError(f"the {kind} file {path} cannot be opened: {error.strerror}") from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_size > most_bytes:
        os.close(fd)
        raise StoreError(f"{path} is not a {kind} file of distqueue; move it out of the way")
    return fd
