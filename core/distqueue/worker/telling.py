"""What a worker tells, to its log and to observers, of its queues and of the handlers that it lets run."""

from __future__ import annotations

import time
from collections.abc import Iterable
from logging import INFO, getLogger
from typing import Final

from distqueue.app.ended import Ended
from distqueue.options import choices
from distqueue.plugins import HandlerEndedEvent, HandlerStartedEvent, installed_plugins
from distqueue.worker.running import Running
from distqueue.worker.wire import Ready

_SHORT: Final = 1.0
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
        if (lease := ready.queues[name].lease) < _SHORT:
            _log.warning(
                "the lease of queue %s is %g s: a commit or a pause that takes as long loses it, and "
                "another worker may run the task, too; give it %g s or more",
                name,
                lease,
                _SHORT,
            )


def tell_started(those: Iterable[Running]) -> None:
    """Children have been given tasks."""
    plugins = installed_plugins()
    if not plugins.has_observers("distqueue_handler_started"):
        return
    for running in those:
        event = HandlerStartedEvent(
            queue=running.queue,
            task=running.task,
            task_id=running.lease.task_id,
            attempt=running.lease.attempt,
            waited=max(0.0, time.time() - running.lease.put_at),
        )
        plugins.notify("distqueue_handler_started", event)


def tell_ended(running: Running, ended: Ended) -> None:
    """A handler has ended, or was ended."""
    _log_end(running, ended)
    plugins = installed_plugins()
    if not plugins.has_observers("distqueue_handler_ended"):
        return
    event = HandlerEndedEvent(
        queue=running.queue,
        task=running.task,
        task_id=running.lease.task_id,
        attempt=running.lease.attempt,
        verb=ended.verb,
        seconds=ended.seconds,
    )
    plugins.notify("distqueue_handler_ended", event)


def _log_end(running: Running, ended: Ended) -> None:
    has_failed = ended.verb not in ("ack", "release")
    if not (has_failed or _log.isEnabledFor(INFO)):
        return  # a worker that is in a hurry
    lease, took = running.lease, ended.seconds
    extra = {**running.labels, "verb": ended.verb, "seconds": round(took, 6)}
    match ended.verb:
        case "ack":
            _log.info("task %s (%s) done in %.3f s", lease.task_id, running.task, took, extra=extra)
        case "release":
            why = ended.error or "it was not begun"
            _log.info("task %s (%s) is given back: %s", lease.task_id, running.task, why, extra=extra)
        case _:
            _log.error(
                "task %s (%s) failed in attempt %d after %.3f s: %s",
                lease.task_id,
                running.task,
                lease.attempt,
                took,
                ended.traceback or ended.error,
                extra=extra,
            )
