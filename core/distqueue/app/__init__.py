"""Running functions: an :class:`App` of handlers on top of queues."""

from __future__ import annotations

from distqueue.app.app import App
from distqueue.app.current import CurrentDelivery, current_delivery
from distqueue.app.function import EnqueueOptions, TaskFunction

__all__ = ["App", "CurrentDelivery", "EnqueueOptions", "TaskFunction", "current_delivery"]
