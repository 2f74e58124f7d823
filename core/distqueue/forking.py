"""Stores in a process that a fork has made: they are closed there, and left to the parent."""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol


class Forkable(Protocol):
    """A store that is open."""

    def leave_to_parent(self) -> None:
        """Close what the fork copied: the lock of the parent must not live on in the child."""

    def close_in_child(self) -> None:
        """Be closed, whatever a thread of the parent did."""


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


def _after_fork() -> None:
    for store in list(_OPEN):
        store.leave_to_parent()
        store.close_in_child()


os.register_at_fork(after_in_child=_after_fork)
