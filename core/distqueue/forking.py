"""Stores in a process that a fork has made: they are closed there, and left to the parent.

A fork waits for what other threads are importing: a module that is half imported stays so in the child, and
whoever imports it there waits for a thread that does not exist.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

PATIENCE: Final = 10.0
"""For how long a fork waits for what is being imported, in seconds."""


class Forkable(Protocol):
    """A store that is open."""

    def leave_to_parent(self) -> None:
        """Close what the fork copied: the lock of the parent must not live on in the child."""

    def close_in_child(self) -> None:
        """Be closed, whatever a thread of the parent did."""


_importing: Final[list[int]] = []
"""The threads that import something."""
_changed: Final = threading.Condition()
_OPEN: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()


def close_after_fork(store: Forkable) -> None:
    """Let an open store be closed in every process that a fork makes from now on.

    For a backend that keeps descriptors or connections open: call it at the end of ``open``, and close
    them in ``leave_to_parent``, without a word to the other end. The clients open the store again there.

    >>> class AcmeBackend(Backend):
    ...     def __init__(self, path: str) -> None:
    ...         super().__init__()
    ...         self.file = open(path, "r+b")
    ...         close_after_fork(self)
    ...
    ...     def leave_to_parent(self) -> None:
    ...         self.file.close()
    """
    _OPEN.add(store)


@contextmanager
def whole_imports() -> Iterator[None]:
    """Let this process fork before or after the block, but not while it runs in another thread."""
    me = threading.get_ident()
    with _changed:
        _importing.append(me)
    try:
        yield
    finally:
        with _changed:
            _importing.remove(me)
            _changed.notify_all()


def _nobody_else_imports() -> bool:
    me = threading.get_ident()
    return all(thread == me for thread in _importing)


def _before_fork() -> None:
    _changed.acquire()
    _changed.wait_for(_nobody_else_imports, PATIENCE)


def _forget_others() -> None:
    me = threading.get_ident()
    _importing[:] = [thread for thread in _importing if thread == me]
    _changed.release()


def _after_fork() -> None:
    for store in list(_OPEN):
        store.leave_to_parent()
        store.close_in_child()


os.register_at_fork(before=_before_fork, after_in_parent=_changed.release, after_in_child=_forget_others)
os.register_at_fork(after_in_child=_after_fork)
