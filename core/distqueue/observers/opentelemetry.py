"""The observer ``opentelemetry``: a trace goes on from where a task is enqueued to its handler.

The context of the trace travels in the headers of the task, as the program's propagator writes it (by default
``traceparent``, ``tracestate`` and ``baggage``), so it survives delays, retries and restarts. Spans have the
attributes of the semantic conventions for messaging. What becomes of the spans is up to the program, which
sets up its SDK in the module of the app, where workers' children find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Link, SpanKind

from distqueue.plugins import AroundHandlerEvent, EnqueueEvent, hookimpl

_tracer: Final = trace.get_tracer("distqueue", version("distqueue"))


@hookimpl
def distqueue_enqueue(event: EnqueueEvent) -> Mapping[str, str]:
    """Make the span in which the task is created, and return its context as headers."""
    headers: dict[str, str] = {}
    attributes = _attributes(event, "enqueue", "create")
    with _tracer.start_as_current_span(
        f"enqueue {event.queue}", kind=SpanKind.PRODUCER, attributes=attributes
    ):
        propagate.inject(headers)
    return headers


@hookimpl
@contextmanager
def distqueue_around_handler(event: AroundHandlerEvent) -> Iterator[None]:
    """Run the handler in a span of its own, below the one in which the task was created and linked to it."""
    origin = propagate.extract(event.headers)
    creation = trace.get_current_span(origin).get_span_context()
    token = context.attach(origin)  # baggage is for the handler, too
    try:
        with _tracer.start_as_current_span(
            f"process {event.queue}",
            kind=SpanKind.CONSUMER,
            links=[Link(creation)] if creation.is_valid else [],
            attributes={**_attributes(event, "process", "process"), "distqueue.task.attempt": event.attempt},
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                raise
    finally:
        context.detach(token)


def _attributes(event: EnqueueEvent | AroundHandlerEvent, operation: str, kind: str) -> dict[str, str]:
    return {
        "messaging.system": "distqueue",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": event.queue,
        "messaging.message.id": event.task_id,
        "distqueue.task.name": event.task,
    }
