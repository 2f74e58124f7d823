"""From where a claim looks, so that what was claimed before costs it nothing.

As long as an old transaction is open somewhere in the server, every task that was ready leaves its entry
in the index, and a claim from the beginning goes through all of them. So a claim begins at the place before
which nothing was left the last time. A put that has its place, and commits only after a later one was
claimed, must not be passed by: a place counts only once all are over that were putting after it was claimed,
and one more look from the old place has found nothing before it. What comes back stands in another table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final

ASK_EVERY: Final = 0.1
"""How often it is asked who is putting, in seconds."""
LOOK_EVERY: Final = 1.0
"""How often a claim looks from the beginning, in seconds, whatever is known."""

type Place = tuple[int, int]

BEGINNING: Final[Place] = (0, 0)


class Hint:
    """Where the claims of one queue begin. Forgotten as soon as one gets less than it asked for."""

    def __init__(self) -> None:
        self._from = BEGINNING
        self._last: Place | None = None
        self._next: Place | None = None
        self._putting: Collection[str] = ()
        self._is_over = False
        self._asked = self._looked = time.monotonic()

    def place(self, ask: Callable[[], Collection[str]]) -> Place:
        """Return where the next claim begins.

        ``ask`` tells who is putting. It is asked only now and then, and about the last place of the claim
        before: after a claim nothing may fail any more, as that may be committed.
        """
        now = time.monotonic()
        if self._last is not None and now - self._asked >= ASK_EVERY:
            self._asked = now
            self._note(self._last, ask())
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            return BEGINNING
        return self._from

    def claimed(self, first: Place | None, last: Place | None) -> None:
        """Note the first and the last place that a claim has taken, all that it asked for."""
        if first is None or last is None:
            return
        if first < self._from:  # one that nobody knew of: an aborted claim, perhaps
            self.forget()
        if self._next is not None and self._is_over and first >= self._next:
            self._from, self._next = self._next, None
        self._last = last

    def forget(self) -> None:
        """Begin at the beginning again."""
        self._from, self._last, self._next = BEGINNING, None, None

    def _note(self, last: Place, putting: Collection[str]) -> None:
        if self._next is None:
            self._next, self._putting, self._is_over = last, putting, False
        else:
            self._is_over = self._is_over or set(putting).isdisjoint(self._putting)
