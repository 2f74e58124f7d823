"""A trace goes on from where a task is enqueued to its handler, whatever happens in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from distqueue import App
from distqueue.observers import opentelemetry as observer
from distqueue.plugins import installed_plugins
from tests.worker.conftest import Bench, wait_until

pytestmark = pytest.mark.slow

TRACED = '''
"""The app as its workers have it; spans are written into a file, when the process ends at the latest."""

import os

from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from distqueue import App, Backoff, current_delivery

out = open(os.environ["SPANS"], "a")
exporter = ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\\n")
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
trace.set_tracer_provider(provider)

app = App()
notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note():
    trace_id = trace.get_current_span().get_span_context().trace_id
    delivery = current_delivery()
    line = f"{delivery.task} {delivery.attempt} {trace_id:032x} {baggage.get_baggage('customer')}\\n"
    os.write(notes, line.encode())


@app.task(retry=Backoff(first=0.05, cap=0.1, jitter=0))
def flaky() -> None:
    note()
    if current_delivery().attempt == 1:
        raise ConnectionError("not yet")


@app.task
async def delayed() -> None:
    note()
    await last.enqueue_async()


@app.task
def last() -> None:
    note()
'''


def nothing() -> None:
    """What the publisher knows of the handlers: their names."""


class Publisher:
    """An app in this process, whose spans are kept in memory."""

    def __init__(self, url: str, spans: InMemorySpanExporter) -> None:
        self.app = App(url)
        self.spans = spans
        self.flaky = self.app.task(name="flaky")(nothing)
        self.delayed = self.app.task(name="delayed")(nothing)


EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    """The tracers of this process: there can be but one provider."""
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(made)
    return made


@pytest.fixture
def publisher(bench: Bench, provider: TracerProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    EXPORTER.clear()
    monkeypatch.setenv("DISTQUEUE_OBSERVERS", "opentelemetry")
    made = Publisher(bench.url, EXPORTER)
    yield made
    made.app.close()
    installed_plugins().unregister(observer)


def run(bench: Bench, ends: int) -> list[dict[str, Any]]:
    """Run a worker until so many handlers have begun, and return the spans of its children."""
    path = bench.directory / "spans"
    (bench.directory / "traced.py").write_text(TRACED)
    bench.env |= {"SPANS": str(path), "DISTQUEUE_OBSERVERS": "opentelemetry"}
    worker = bench.spawn("work", "traced:app", "--processes", "2")
    wait_until(lambda: len(noted(bench.notes_path)) >= ends, bench.log)
    worker.terminate()
    assert worker.wait(30) == 0, bench.log.read_text()
    return [json.loads(line) for line in path.read_text().splitlines()]


def noted(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def span_id(span: ReadableSpan) -> int:
    found = span.get_span_context()
    assert found is not None
    return found.span_id


def test_the_trace_of_the_publisher_reaches_the_handler_after_delay_and_retry(
    bench: Bench, publisher: Publisher
) -> None:
    token = context.attach(baggage.set_baggage("customer", "17"))
    with trace.get_tracer("test").start_as_current_span("request") as request:
        flaky = publisher.flaky.enqueue().task_id
        delayed = publisher.delayed.options(delay=0.3).enqueue().task_id
    context.detach(token)
    trace_id = f"{request.get_span_context().trace_id:032x}"

    spans = run(bench, ends=4)
    assert sorted(noted(bench.notes_path)) == [
        ["delayed", "1", trace_id, "17"],
        ["flaky", "1", trace_id, "17"],
        ["flaky", "2", trace_id, "17"],
        ["last", "1", trace_id, "17"],
    ]
    assert {span["context"]["trace_id"] for span in spans} == {f"0x{trace_id}"}

    producers = publisher.spans.get_finished_spans()[:2]
    created = {(span.attributes or {})["messaging.message.id"]: span for span in producers}
    consumed = [span for span in spans if span["kind"] == "SpanKind.CONSUMER"]
    assert len(consumed) == 4
    for task_id in (flaky, delayed):
        origin = created[task_id]
        assert origin.kind is trace.SpanKind.PRODUCER
        assert origin.parent == request.get_span_context()
        for span in consumed:
            if span["attributes"]["messaging.message.id"] == task_id:
                assert span["parent_id"] == f"0x{span_id(origin):016x}"
                assert [link["context"]["span_id"] for link in span["links"]] == [span["parent_id"]]


def test_spans_say_what_happened_and_hold_no_payload(bench: Bench, publisher: Publisher) -> None:
    task_id = publisher.flaky.enqueue().task_id
    first, second = sorted(run(bench, ends=2), key=lambda span: span["attributes"]["distqueue.task.attempt"])
    common = {
        "messaging.system": "distqueue",
        "messaging.destination.name": "default",
        "messaging.message.id": task_id,
        "distqueue.task.name": "flaky",
    }
    process = {**common, "messaging.operation.name": "process", "messaging.operation.type": "process"}
    assert second["attributes"] == {**process, "distqueue.task.attempt": 2}
    assert second["status"]["status_code"] == "UNSET"
    assert first["attributes"] == {**process, "distqueue.task.attempt": 1, "error.type": "ConnectionError"}
    assert first["status"]["status_code"] == "ERROR"
    assert first["name"] == "process default"
    (created,) = publisher.spans.get_finished_spans()
    assert created.name == "enqueue default"
    assert dict(created.attributes or {}) == {
        **common,
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "create",
    }


def test_a_task_without_a_trace_begins_one(bench: Bench, publisher: Publisher) -> None:
    bench.queue.put({"task": "last", "args": {}})
    (span,) = run(bench, ends=1)
    assert (span["parent_id"], span["links"]) == (None, [])
    assert noted(bench.notes_path)[0][3] == "None"
