"""What a worker tells, to its log and to observers, of the handlers that it lets run."""

from __future__ import annotations

import time
from collections.abc import Iterable
from logging import INFO, getLogger
from typing import Final

from distqueue.app.ended import Ended
from distqueue.plugins import HandlerEndedEvent, HandlerStartedEvent, installed_plugins
from distqueue.worker.running import Running

_log: Final = getLogger("distqueue.worker")


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
    if ended.verb not in ("ack", "release") or _log.isEnabledFor(INFO):
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
