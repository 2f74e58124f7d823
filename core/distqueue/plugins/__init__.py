"""Plugins: backends and observers, found through entry points, each loaded apart from the others."""

from __future__ import annotations

from distqueue.plugins.events import (
    AroundHandlerEvent,
    BrokerStartedEvent,
    BrokerStoppedEvent,
    ClaimedEvent,
    CommittedEvent,
    EnqueueEvent,
    Failure,
    HandlerEndedEvent,
    HandlerStartedEvent,
    PutEvent,
    RenewedLateEvent,
    SettledEvent,
    Settlement,
    TaskDeadEvent,
    TaskFailedEvent,
)
from distqueue.plugins.hookspecs import hookimpl, hookspec
from distqueue.plugins.manager import Plugins, installed_plugins
from distqueue.plugins.report import BackendPlugin, BackendRow, BackendStatus, PluginProblem, ProblemKind
from distqueue.plugins.spec import CONTRACT, BackendSpec

__all__ = [
    "CONTRACT",
    "AroundHandlerEvent",
    "BackendPlugin",
    "BackendRow",
    "BackendSpec",
    "BackendStatus",
    "BrokerStartedEvent",
    "BrokerStoppedEvent",
    "ClaimedEvent",
    "CommittedEvent",
    "EnqueueEvent",
    "Failure",
    "HandlerEndedEvent",
    "HandlerStartedEvent",
    "PluginProblem",
    "Plugins",
    "ProblemKind",
    "PutEvent",
    "RenewedLateEvent",
    "SettledEvent",
    "Settlement",
    "TaskDeadEvent",
    "TaskFailedEvent",
    "hookimpl",
    "hookspec",
    "installed_plugins",
]
