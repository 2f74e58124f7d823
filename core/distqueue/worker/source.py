"""A queue that a worker takes tasks from."""

from __future__ import annotations

import time

from msgspec.structs import replace

from distqueue.commands import Claim
from distqueue.ids import new_token
from distqueue.renewal import Renewal
from distqueue.results import Seen
from distqueue.worker.asking import Asking, Watch
from distqueue.worker.wire import QueueInfo

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Source:
    """What is known of a queue: whether it may have tasks, and the claim whose answer is awaited."""

    def __init__(self, name: str, info: QueueInfo, asking: Asking, watch: Watch) -> None:
        self.name = name
        self.info = info
        self.may_have = True
        """Whether a claim may find something."""
        self.has_left = False
        """Whether it is in another store now, for good."""
        self.seen: Seen | None = None
        """What a claim saw that found nothing, until it is waited for more."""
        self.is_watched = False
        self.parked: Claim | None = None
        """The claim that waits in the store, for one task."""
        self.is_unparked = False
        """Whether that claim was told to come back, as its room is needed elsewhere."""
        self._since = Seen()
        self.renewal = Renewal(asking.apply, name)
        self.watch = watch
        self.asks_at = 0.0
        """When it is asked again after it has refused a claim, on the monotonic clock."""
        self._again: Claim | None = None
        self._pause = _FIRST_PAUSE

    def claim(self, count: int) -> Claim:
        """Return a claim for up to so many tasks, or an earlier one whose answer was lost, once more."""
        if self._again is not None:
            return replace(self._again, again=True)
        return Claim(queue=self.name, token=new_token(), count=count, lease=self.info.lease)

    def answered(self) -> None:
        """The answer to a claim has come."""
        self._again = None
        self._pause = _FIRST_PAUSE

    def put_off(self) -> float:
        """Ask this queue later, each time more so; the others go on. Return how much later, in seconds."""
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        self.asks_at = time.monotonic() + pause
        return pause

    def unanswered(self, claim: Claim) -> None:
        """The answer to a claim is lost: what it has taken has to be found again."""
        self._again = claim

    def wait(self, seen: Seen, *, parks: bool) -> None:
        """Wait for more than was seen; if it ``parks``, a claim waits in the store."""
        self.is_watched, self.is_unparked, self._since = True, False, seen
        self.parked = self.claim(1) if parks and self._again is None else None
        self.watch.since(seen, self.parked)

    def news(self, *, is_sure: bool, is_empty: bool) -> None:
        """There may be something, or nobody knows: then the claim that waited may have taken it.

        One that comes back empty because it was told to is no news: what it waited for is waited for again.
        """
        self.is_watched = False
        parked, self.parked = self.parked, None
        if parked is not None and self.is_unparked and is_sure and is_empty:
            self.seen = self._since
            return
        self.may_have = True
        if parked is not None and not is_sure:
            self.unanswered(parked)

    def close(self) -> None:
        """Renew nothing more, and watch no longer."""
        self.renewal.close()
        self.watch.close()
