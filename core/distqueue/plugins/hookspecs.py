"""The hooks that plugins can implement, and the two markers that name them.

    from distqueue.plugins import hookimpl

Hooks are called one plugin at a time, so that the failure of one is never that of another: an
implementation is a plain function (no ``async def``, no wrapper), and none of its arguments has a
default. It may leave out arguments that it does not need.

Observing hooks are called once a batch and queue, in the thread that made the call, after the store
has answered, and under no lock. What an observer raises is logged and goes no further; the time it
takes is its caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pluggy

from distqueue.plugins.events import (
    BrokerStartedEvent,
    BrokerStoppedEvent,
    ClaimedEvent,
    CommittedEvent,
    PutEvent,
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
OBSERVING_HOOKS: Final = tuple(name for name in HOOKS if name != "distqueue_backends")
"""The names of the hooks that observe."""
