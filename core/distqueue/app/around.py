"""What observers put around a handler while it runs, such as the span of a trace."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from distqueue.app.current import CurrentDelivery
from distqueue.plugins import AroundHandlerEvent, installed_plugins

_HOOK: Final = "distqueue_around_handler"
_log: Final = logging.getLogger("distqueue.plugins")


class Around:
    """The context managers of all observers: they see what the handler raises, and change nothing in it."""

    def __init__(self, delivery: CurrentDelivery) -> None:
        self._delivery = delivery
        self._entered: list[AbstractContextManager[object]] = []

    def __enter__(self) -> None:
        plugins = installed_plugins()
        if not plugins.has_observers(_HOOK):
            return
        for manager in plugins.ask(_HOOK, _event(self._delivery)):
            try:
                manager.__enter__()
            except (Exception, SystemExit):  # noqa: BLE001 - an observer must not end what it observes
                _log.exception("a context manager of %s could not be entered", _HOOK)
            else:
                self._entered.append(manager)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._entered:
            try:
                self._entered.pop().__exit__(kind, error, trace)
            except (Exception, SystemExit) as fault:  # noqa: BLE001 - as above
                if fault is not error:
                    _log.exception("a context manager of %s could not be left", _HOOK)


def _event(delivery: CurrentDelivery) -> AroundHandlerEvent:
    return AroundHandlerEvent(
        queue=delivery.queue,
        task=delivery.task,
        task_id=delivery.task_id,
        attempt=delivery.attempt,
        deliveries=delivery.deliveries,
        max_attempts=delivery.max_attempts,
        put_at=delivery.put_at,
        headers=dict(delivery.headers),
    )
