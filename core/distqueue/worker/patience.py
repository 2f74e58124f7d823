"""A store that says nothing: said once, and once more when it answers again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from typing import Final

_log: Final = getLogger("distqueue.worker")
PATIENCE: Final = 5.0
"""How long an answer may take before that is said, in seconds."""


class Patience:
    """Knows since when calls wait for the store; :meth:`look` is called now and then."""

    def __init__(self) -> None:
        self._since: dict[object, float] = {}
        self._silent_since: float | None = None

    @property
    def looks_at(self) -> float:
        """When to look next, on the monotonic clock."""
        if self._silent_since is not None:
            return math.inf
        return min(self._since.copy().values(), default=math.inf) + PATIENCE

    def look(self) -> None:
        """Say that the store does not answer, if it has not for too long."""
        if time.monotonic() >= self.looks_at:
            self._silent_since = min(self._since.copy().values(), default=time.monotonic())
            _log.warning(
                "the store has not answered for %g s: nothing is claimed, renewed or settled until it does",
                PATIENCE,
            )

    def begin(self, call: object) -> None:
        """A call begins."""
        self._since[call] = time.monotonic()

    @contextmanager
    def until_answered(self, call: object) -> Iterator[None]:
        """Carry out a call that has begun in this block, which raises if there was no answer."""
        try:
            yield
            self._answered()
        finally:
            del self._since[call]

    def _answered(self) -> None:
        since, self._silent_since = self._silent_since, None
        if since is not None:
            _log.warning("the store answers again, after %.1f s", time.monotonic() - since)
