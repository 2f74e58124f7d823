"""``distqueue work``, on a store at any URL."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.workers import handlers_distqueue
from benchmarks.workers.system import Store


class Ours(Store):
    """A store of ours; what is settled is durable."""

    def __init__(
        self,
        url: str,
        concurrency: int,
        handlers: str = handlers_distqueue.__name__,
        options: Sequence[str] = (),
    ) -> None:
        app = f"{handlers}:app"
        super().__init__(url, ["distqueue", "work", app, "-u", url, "-c", str(concurrency), *options])
        self.app, self._note = handlers_distqueue.make(url)
        self.queue = self.app.queue()
        self.queue.stats()  # makes the store

    def enqueue(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._note.enqueue(number)

    def fill(self, numbers: Sequence[int]) -> None:
        self._note.enqueue_many([(number,) for number in numbers])

    def left(self) -> int:
        stats = self.queue.stats()
        return stats.ready + stats.leased

    def close(self) -> None:
        self.app.close()
