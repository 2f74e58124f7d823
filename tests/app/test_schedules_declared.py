"""``@app.schedule``: what can be said, and what is refused where it is said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from distqueue import App, ConfigError, InvalidTask, TaskFunction
from distqueue.schedules.schedule import Missed, Schedule


@pytest.fixture
def app() -> App:
    return App("memory://", queue="plain")


def only(app: App) -> Schedule:
    """Return the app's one schedule as the store gets it."""
    (definition,) = app.definitions("shop:app")
    return definition.schedule


def test_it_stands_above_a_task_function_and_keeps_its_options(app: App) -> None:
    @app.schedule("30  3 * * *", timezone="Europe/Berlin", missed="skip", grace=timedelta(minutes=5))
    @app.task(queue="reports", priority=3, max_attempts=2)
    def nightly() -> str:
        return "done"

    assert isinstance(nightly, TaskFunction)
    assert nightly() == "done"
    found = only(app)
    assert (found.name, found.app, found.spec, found.timezone) == (
        "nightly",
        "shop:app",
        "30 3 * * *",
        "Europe/Berlin",
    )
    assert (found.missed, found.grace) == (Missed.SKIP, 300)
    put = found.tick(0.0)
    assert (put.queue, put.task_id) == ("reports", "nightly@1970-01-01T00:00:00Z")
    assert put.data == b'{"task":"nightly","args":{}}'
    assert (put.options.priority, put.options.max_attempts) == (3, 2)


def test_it_makes_a_plain_function_a_task_function(app: App) -> None:
    @app.schedule(every=timedelta(minutes=2), args=("a@example.org",), kwargs={"times": 2})
    def remind(to: str, times: int = 1) -> None: ...

    assert app.tasks["remind"] is remind
    found = only(app)
    assert (found.every, found.spec, found.queue) == (120, "every 120 s", "plain")
    assert found.tick(0.0).data == b'{"task":"remind","args":{"to":"a@example.org","times":2}}'


def test_a_function_may_have_several_schedules_with_names(app: App) -> None:
    @app.schedule("0 8 * * MON-FRI", name="morning", timezone=ZoneInfo("Asia/Tokyo"))
    @app.schedule("0 20 * * *", name="evening")
    @app.task
    def sweep() -> None: ...

    assert list(app.schedules) == ["evening", "morning"]
    assert [each.schedule.timezone for each in app.definitions("x")] == ["UTC", "Asia/Tokyo"]
    with pytest.raises(ConfigError, match="two schedules 'evening'"):
        app.schedule("0 21 * * *", name="evening")(sweep)


def test_the_same_declaration_is_the_same_definition_and_any_change_is_another_one() -> None:
    def key(**said: Any) -> str:
        app = App("memory://")
        said = {"every": 5, "kwargs": {"first": 1, "second": 2}, **said}
        options = said.pop("options", {})

        @app.schedule(**said)
        @app.task(**options)
        def beat(first: int = 0, second: int = 0) -> None: ...

        return app.definitions("shop:app")[0].key

    assert key() == key() == key(kwargs={"second": 2, "first": 1})
    changes: list[dict[str, Any]] = [
        {"every": 6},
        {"missed": "all"},
        {"grace": 1},
        {"kwargs": {"first": 1}},
        {"options": {"queue": "other"}},
        {"options": {"priority": 1}},
        {"options": {"delay": 1}},
    ]
    assert len({key(), *(key(**change) for change in changes)}) == len(changes) + 1


def test_arguments_are_checked_where_it_is_declared(app: App) -> None:
    with pytest.raises(InvalidTask, match="to"):

        @app.schedule(every=1)
        def remind(to: str) -> None: ...

    with pytest.raises(InvalidTask, match="int"):

        @app.schedule(every=1, args=("soon",))
        def wait(seconds: int) -> None: ...


@pytest.mark.parametrize(
    ("spec", "said", "problem"),
    [
        (None, {}, "give a cron expression, or every="),
        ("* * * * *", {"every": 1}, "give a cron expression, or every="),
        ("* * *", {}, "not a cron expression"),
        ("0 0 31 2 *", {}, "not a cron expression"),
        ("* * * * *", {"timezone": "Europe/Bonn"}, "no time zone 'Europe/Bonn'"),
        (None, {"every": 0}, "at least 0.1 s"),
        (None, {"every": 1, "missed": "some"}, "use 'skip', 'one' or 'all'"),
        (None, {"every": 1, "grace": -1}, "use 0 or more"),
        (None, {"every": 1, "name": "Nightly Report"}, "no name for a schedule: use up to 44 characters"),
        (None, {"every": 1, "name": "n" * 45}, "no name for a schedule"),
    ],
)
def test_what_cannot_be_is_refused(app: App, spec: str | None, said: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):

        @app.schedule(spec, **said)
        @app.task
        def beat() -> None: ...


def test_options_of_one_task_are_not_for_a_schedule(app: App) -> None:
    with pytest.raises(ConfigError, match="'task_id', which is not for many tasks"):

        @app.schedule(every=1)
        @app.task(task_id="the-one")
        def beat() -> None: ...


def test_below_the_task_it_says_where_it_belongs(app: App) -> None:
    with pytest.raises(ConfigError, match=r"goes above @app\.task"):

        @app.task(queue="reports")
        @app.schedule(every=1)
        def beat() -> None: ...
