"""Observers add headers to what an app enqueues, and stand around its handlers; they can break nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from distqueue import App
from distqueue.app import CurrentDelivery
from distqueue.app.function import TaskFunction
from distqueue.app.handling import handle, handle_async
from distqueue.plugins import AroundHandlerEvent, EnqueueEvent, hookimpl, installed_plugins
from distqueue.results import Lease

type Seen = list[tuple[str, str]]


class Observer:
    """Gives what it is made with, and notes what it sees."""

    def __init__(self, headers: Any = None, around: Any = None) -> None:
        self.headers = headers
        self.around = around
        self.enqueued: list[EnqueueEvent] = []
        self.handled: list[AroundHandlerEvent] = []

    @hookimpl
    def distqueue_enqueue(self, event: EnqueueEvent) -> Any:
        self.enqueued.append(event)
        if isinstance(self.headers, Exception):
            raise self.headers
        return self.headers

    @hookimpl
    def distqueue_around_handler(self, event: AroundHandlerEvent) -> Any:
        self.handled.append(event)
        return self.around


class Registered:
    """Registers observers for the time of a test."""

    def __init__(self) -> None:
        self.observers: list[Observer] = []

    def __call__(self, observer: Observer) -> Observer:
        installed_plugins().register(observer)
        self.observers.append(observer)
        return observer


@pytest.fixture
def registered() -> Iterator[Registered]:
    """What registers observers, and takes them back."""
    made = Registered()
    yield made
    for observer in made.observers:
        installed_plugins().unregister(observer)


@pytest.fixture
def app() -> Iterator[App]:
    with App("memory://", queue="jobs") as made:
        yield made


def headers_of(task: TaskFunction[..., Any], **options: Any) -> dict[str, str] | None:
    """Enqueue a task, and return the headers that it has in the store."""
    stored = task.options(**options).enqueue()
    found = task.app.queue(task.queue).find(stored.task_id)
    assert found is not None
    return found.headers


def nothing() -> None:
    """A handler."""


def delivery(**headers: str) -> CurrentDelivery:
    lease = Lease(
        task_id="t-1",
        data=PAYLOAD,
        receipt="3.token.t-1",
        attempt=2,
        deliveries=3,
        until=60.0,
        put_at=1.5,
        headers=headers,
    )
    return CurrentDelivery("jobs", "nothing", lease)


PAYLOAD = b'{"task": "nothing", "args": {}}'


def test_headers_are_added_and_those_of_the_caller_stay(app: App, registered: Registered) -> None:
    registered(Observer({"b": "2", "c": "2"}))
    first = registered(Observer({"a": "1", "b": "1"}))  # the newest is asked first, as pluggy has it
    task = app.task(nothing)
    assert headers_of(task, headers={"a": "own"}, task_id="t") == {"a": "own", "b": "1", "c": "2"}
    assert first.enqueued == [EnqueueEvent(queue="jobs", task="nothing", task_id="t", headers={"a": "own"})]
    assert headers_of(task) == {"a": "1", "b": "1", "c": "2"}


@pytest.mark.parametrize("given", [RuntimeError("no"), ["a"], {"a": 1}, {"a": "x" * 20_000}])
def test_what_cannot_be_headers_is_left_out_and_logged(
    app: App, registered: Registered, given: object, caplog: pytest.LogCaptureFixture
) -> None:
    registered(Observer(given))
    registered(Observer({"good": "yes"}))
    assert headers_of(app.task(nothing)) == {"good": "yes"}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_without_observers_a_task_has_the_headers_that_it_was_given(app: App) -> None:
    task = app.task(nothing)
    assert headers_of(task, headers={"a": "own"}) == {"a": "own"}
    assert headers_of(task) is None


def noted(name: str, seen: Seen) -> AbstractContextManager[None]:
    """Return a context manager that notes how it is entered and left."""

    @contextmanager
    def around() -> Iterator[None]:
        seen.append((name, "entered"))
        try:
            yield
        except BaseException as error:
            seen.append((name, repr(error)))
            raise
        seen.append((name, "left"))

    return around()


def test_a_handler_runs_between_entering_and_leaving(app: App, registered: Registered) -> None:
    seen: Seen = []
    registered(Observer(around=None))
    registered(Observer(around=noted("inner", seen)))
    outer = registered(Observer(around=noted("outer", seen)))

    task = app.task(name="nothing")(lambda: seen.append(("handler", "runs")))
    assert handle(task, delivery(a="1"), PAYLOAD).verb == "ack"
    assert seen == [
        ("outer", "entered"),
        ("inner", "entered"),
        ("handler", "runs"),
        ("inner", "left"),
        ("outer", "left"),
    ]
    (event,) = outer.handled
    assert (event.queue, event.task, event.task_id, event.attempt) == ("jobs", "nothing", "t-1", 2)
    assert (event.deliveries, event.max_attempts, event.put_at) == (3, 5, 1.5)
    assert event.headers == {"a": "1"}


@pytest.mark.asyncio
async def test_an_async_handler_that_fails_is_seen_to_fail(app: App, registered: Registered) -> None:
    seen: Seen = []
    registered(Observer(around=noted("observer", seen)))

    @app.task(name="nothing")
    async def fails() -> None:
        raise ValueError("no")

    ended = await handle_async(fails, delivery(), PAYLOAD)
    assert (ended.verb, ended.error) == ("retry", "ValueError: no")
    assert seen == [("observer", "entered"), ("observer", "ValueError('no')")]


class Clumsy:
    """A context manager that fails where it is told to, and suppresses whatever it can."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        if self.where == "enter":
            raise RuntimeError("clumsy")

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if self.where == "exit":
            raise RuntimeError("clumsy")
        if self.where == "again" and isinstance(error, Exception):
            raise error
        return True


@pytest.mark.parametrize("where", ["enter", "exit", "again", "nowhere"])
@pytest.mark.parametrize("error", [None, ValueError("no")])
def test_an_observer_changes_nothing_about_the_end_of_a_handler(
    app: App, registered: Registered, where: str, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    seen: Seen = []
    registered(Observer(around=noted("outer", seen)))
    registered(Observer(around=Clumsy(where)))
    registered(Observer(around="no context manager"))

    @app.task(name="nothing")
    def handler() -> None:
        if error is not None:
            raise error

    ended = handle(handler, delivery(), PAYLOAD)
    assert ended.verb == ("ack" if error is None else "retry")
    assert seen[-1] == ("outer", "left" if error is None else "ValueError('no')")
    assert len(caplog.records) == (2 if where in ("enter", "exit") else 1)
