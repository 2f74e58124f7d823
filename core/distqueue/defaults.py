"""How a queue treats its tasks, unless a call says otherwise."""

from __future__ import annotations

import msgspec

from distqueue.retry import Backoff


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a queue where a call does not say. All times are in seconds.

    ``lease`` is how long a task is claimed for, ``retry`` how long a failed one waits,
    ``max_attempts`` after how many failures it is dead, ``keep_done`` how long a done one stays
    findable, ``flush_interval`` how soon unwaited puts are stored.
    """

    lease: float = 30.0
    retry: Backoff = Backoff()
    max_attempts: int | None = 5
    keep_done: float = 0.0
    flush_interval: float = 2.0
