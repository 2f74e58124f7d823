"""What a worker is asked to do."""

from __future__ import annotations

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``distqueue work``. Times are in seconds, ``max_memory`` in bytes.

    ``url`` is another store than the app's. ``queues`` are taken from in this order; with none, those of the
    app take turns. ``concurrency`` is how many handlers run at the same time, in ``processes`` children
    together. ``grace`` is how long they may go on
    after the worker was told to stop. ``max_tasks`` and ``max_memory`` are for each child: then another one
    takes its place. With ``burst`` the worker ends when there is nothing left to do, with
    ``reload`` new children take over when Python files below the working directory change.
    """

    app: str
    url: str | None = None
    queues: tuple[str, ...] = ()
    concurrency: int = 8
    processes: int = 1
    grace: float = 30.0
    burst: bool = False
    max_tasks: int | None = None
    max_memory: int | None = None
    reload: bool = False

    @property
    def slots(self) -> int:
        """How many handlers a child runs at the same time."""
        return -(-self.concurrency // self.processes)
