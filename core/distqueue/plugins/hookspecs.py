"""The hooks that plugins can implement, and the two markers that name them.

    from distqueue.plugins import hookimpl

Hooks are called one plugin at a time, so that the failure of one is never that of another: an
implementation is a plain function (no ``async def``, no wrapper), and none of its arguments has a
default. It may leave out arguments that it does not need.

Observing hooks are called once a batch and queue, in the thread that made the call, after the store
has answered, and under no lock. What an observer raises is logged and goes no further; the time it
takes is its caller's. The hooks about handlers are called once a task: by the app that enqueues it, by the
worker, and in the process that runs the handler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Final

import pluggy

from distqueue.plugins.events import (
    AroundHandlerEvent,
    BrokerStartedEvent,
    BrokerStoppedEvent,
    ClaimedEvent,
    CommittedEvent,
    EnqueueEvent,
    HandlerEndedEvent,
    HandlerStartedEvent,
    PutEvent,
    RenewedLateEvent,
    SettledEvent,
    TaskDeadEvent,
    TaskFailedEvent,
)
from distqueue.plugins.spec import BackendSpec

hookspec = pluggy.HookspecMarker("distqueue")
hookimpl = pluggy.HookimplMarker("distqueue")


class Hooks:
    """Every hook of distqueue."""

    @hookspec
    def distqueue_backends(self) -> Iterable[BackendSpec]:
        """Describe the backends of this plugin.

        Called when a URL names the plugin's entry point, or for a listing. The module that holds it
        imports no client library: that is what ``BackendSpec.load`` is for.

            @hookimpl
            def distqueue_backends():
                yield BackendSpec(
                    schemes=("acme",),
                    load="acme_queue.backend:AcmeBackend",
                    contract="1",
                    capabilities=CAPABILITIES,
                    options=AcmeOptions,
                    summary="Tasks in Acme's storage",
                )
        """
        raise NotImplementedError

    @hookspec
    def distqueue_put(self, event: PutEvent) -> None:
        """Tasks were stored.

        @hookimpl
        def distqueue_put(event):
            PUTS.labels(event.queue).inc(sum(not one.duplicate for one in event.stored))
        """

    @hookspec
    def distqueue_claimed(self, event: ClaimedEvent) -> None:
        """Tasks were handed out; not called for a claim that found nothing.

        @hookimpl
        def distqueue_claimed(event):
            for lease in event.leases:
                WAITED.observe(time.time() - lease.put_at)
        """

    @hookspec
    def distqueue_settled(self, event: SettledEvent) -> None:
        """Deliveries were acked, retried, released, rejected or extended.

        @hookimpl
        def distqueue_settled(event):
            for one in event.settled:
                SETTLED.labels(event.queue, one.verb).inc()
        """

    @hookspec
    def distqueue_committed(self, event: CommittedEvent) -> None:
        """A batch with changes was acknowledged.

        @hookimpl
        def distqueue_committed(event):
            COMMIT_SECONDS.observe(event.seconds)
        """

    @hookspec
    def distqueue_task_failed(self, event: TaskFailedEvent) -> None:
        """Attempts at tasks failed and were reported by their consumer.

        @hookimpl
        def distqueue_task_failed(event):
            for failure in event.failures:
                log.warning("%s failed: %s", failure.task_id, failure.error)
        """

    @hookspec
    def distqueue_task_dead(self, event: TaskDeadEvent) -> None:
        """Tasks were rejected, or failed with no attempt left.

        Not called for a task that died of a lease that ran out: the store sees that, not the caller.

            @hookimpl
            def distqueue_task_dead(event):
                page_somebody(f"{len(event.failures)} dead tasks in {event.queue}")
        """

    @hookspec
    def distqueue_renewed_late(self, event: RenewedLateEvent) -> None:
        """Leases were renewed by more than a tenth of their length later than planned.

        Called in the thread that renews. The leases held; the process or its store is too slow for them.

        @hookimpl
        def distqueue_renewed_late(event):
            log.warning("%s leases of %s: %.1f s late", event.leases, event.queue, event.seconds)
        """

    @hookspec
    def distqueue_enqueue(self, event: EnqueueEvent) -> Mapping[str, str] | None:
        """Give headers that a task shall carry, before an app stores it.

        Headers that whoever enqueues has given under the same names stay. What is not a mapping of strings
        to strings, or is too large, is logged and left out.

        @hookimpl
        def distqueue_enqueue(event):
            return {"request-id": request_id.get()}
        """

    @hookspec
    def distqueue_around_handler(self, event: AroundHandlerEvent) -> AbstractContextManager[object] | None:
        """Give a context manager that a handler runs in, in the process, thread and context of the handler.

        It sees what the handler raises, and cannot suppress it. It is not left if the process is killed.

        @hookimpl
        @contextmanager
        def distqueue_around_handler(event):
            token = request_id.set(event.headers.get("request-id"))
            try:
                yield
            finally:
                request_id.reset(token)
        """

    @hookspec
    def distqueue_handler_started(self, event: HandlerStartedEvent) -> None:
        """A worker has given a task to a process that runs its handler. Called in the worker's loop.

        @hookimpl
        def distqueue_handler_started(event):
            RUNNING.labels(event.task).inc()
        """

    @hookspec
    def distqueue_handler_ended(self, event: HandlerEndedEvent) -> None:
        """A handler has ended, or was killed. Called in the worker's loop, before the task is settled.

        @hookimpl
        def distqueue_handler_ended(event):
            RUNNING.labels(event.task).dec()
            SECONDS.labels(event.task, event.verb).observe(event.seconds)
        """

    @hookspec
    def distqueue_broker_started(self, event: BrokerStartedEvent) -> None:
        """A store was opened in this process, by a client or by the process that serves it.

        @hookimpl
        def distqueue_broker_started(event):
            log.info("process %s opened %s", event.pid, event.url)
        """

    @hookspec
    def distqueue_broker_stopped(self, event: BrokerStoppedEvent) -> None:
        """A store that was opened in this process is closed.

        @hookimpl
        def distqueue_broker_stopped(event):
            log.info("process %s closed %s", event.pid, event.url)
        """


HOOKS: Final = tuple(name for name in vars(Hooks) if name.startswith("distqueue_"))
"""The names of all hooks."""
HANDLER_HOOKS: Final = (
    "distqueue_renewed_late",
    "distqueue_enqueue",
    "distqueue_around_handler",
    "distqueue_handler_started",
    "distqueue_handler_ended",
)
"""The names of the hooks that apps, consumers and workers call."""
OBSERVING_HOOKS: Final = tuple(
    name for name in HOOKS if name != "distqueue_backends" and name not in HANDLER_HOOKS
)
"""The names of the hooks that tell what was done to a store."""
