"""A queue that a worker takes tasks from."""

from __future__ import annotations

from msgspec.structs import replace

from distqueue.commands import Claim
from distqueue.ids import new_token
from distqueue.renewal import Renewal
from distqueue.worker.asking import Asking, Watch
from distqueue.worker.wire import QueueInfo


class Source:
    """What is known of a queue: whether it may have tasks, and the claim whose answer is awaited."""

    def __init__(self, name: str, info: QueueInfo, asking: Asking, watch: Watch) -> None:
        self.name = name
        self.info = info
        self.may_have = True
        """Whether a claim may find something."""
        self.renewal = Renewal(asking.apply, name)
        self.watch = watch
        self._again: Claim | None = None

    def claim(self, count: int) -> Claim:
        """Return a claim for up to so many tasks, or an earlier one whose answer was lost, once more."""
        if self._again is not None:
            return replace(self._again, again=True)
        return Claim(queue=self.name, token=new_token(), count=count, lease=self.info.lease)

    def answered(self) -> None:
        """The answer to a claim has come."""
        self._again = None

    def unanswered(self, claim: Claim) -> None:
        """The answer to a claim is lost: what it has taken has to be found again."""
        self._again = claim

    def close(self) -> None:
        """Renew nothing more, and watch no longer."""
        self.renewal.close()
        self.watch.close()
