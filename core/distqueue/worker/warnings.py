"""What a worker warns of when it knows the app: queues that look wrong."""

from __future__ import annotations

from collections.abc import Iterable
from logging import getLogger
from typing import Final

from distqueue.options import choices
from distqueue.worker.wire import Ready

SHORT: Final = 1.0
"""Below this a lease is warned about, in seconds: a slow disk alone may take as long."""
_log: Final = getLogger("distqueue.worker")


def warn_of_strangers(queues: Iterable[str], ready: Ready) -> None:
    """Warn of queues to work on that no handler is for."""
    own = {task.queue for task in ready.tasks.values()}
    for name in queues:
        if name not in own:
            _log.warning("no handler of the app has queue %r; %s", name, choices(name, own))


def warn_of_short_leases(queues: Iterable[str], ready: Ready) -> None:
    """Warn of leases that may be lost without anybody's fault."""
    for name in queues:
        if (lease := ready.queues[name].lease) < SHORT:
            _log.warning(
                "the lease of queue %s is %g s: a commit or a pause that takes as long loses it, and "
                "another worker may run the task, too; give it %g s or more",
                name,
                lease,
                SHORT,
            )
