"""What an app puts into its queues, and how."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from distqueue import App, BatchRefused, ConfigError, InvalidTask, UniqueTaken, current_delivery
from tests.forking import in_child


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[App]:
    """An app on sqlite."""
    with App(f"sqlite:///{tmp_path}/jobs.db", queue="mail") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest) -> Iterator[App]:
    """An app on sqlite, and in a schema of PostgreSQL."""
    if request.param == "sqlite":
        yield request.getfixturevalue("lite")
    else:
        with App(request.getfixturevalue("postgres_store"), queue="mail") as made:
            yield made


def test_to_call_it_just_runs_it(app: App) -> None:
    @app.task
    def double(n: int) -> int:
        """Twice as many."""
        return 2 * n

    assert double(4) == 8
    assert (double.name, double.__doc__) == ("double", "Twice as many.")
    assert app.queue().stats().ready == 0


def test_a_task_says_which_handler_and_arguments(app: App) -> None:
    @app.task(queue="emails", max_attempts=8, priority=3)
    def send(to: str, *, copies: int = 1) -> None: ...

    stored = send.options(delay=60, priority=5).enqueue("a@example.org", copies=2)
    found = app.queue("emails").find(stored.task_id)
    assert found is not None
    assert found.payload() == {"task": "send", "args": {"to": "a@example.org", "copies": 2}}
    assert (found.priority, found.max_attempts, str(found.state)) == (5, 8, "scheduled")
    plain = app.queue("emails").find(send.enqueue("b@example.org").task_id)
    assert plain is not None
    assert plain.priority == 3


def test_many_at_once_are_all_checked_before_any_is_stored(app: App) -> None:
    @app.task
    def send(to: str, copies: int = 1) -> None: ...

    stored = send.enqueue_many([("a",), ("b", 2), {"to": "c", "copies": 3}])
    assert [record.payload()["args"] for record in app.queue().peek(9)] == [
        {"to": "a"},
        {"to": "b", "copies": 2},
        {"to": "c", "copies": 3},
    ]
    assert len(stored) == 3
    for wrong in ([("d",), (4,)], [("d",), "e"], [("d",), ["e"]]):
        with pytest.raises(InvalidTask):
            send.enqueue_many(wrong)  # type: ignore[arg-type]
    assert app.queue().stats().ready == 3


def test_a_refusal_says_so(app: App) -> None:
    @app.task
    def send(to: str) -> None: ...

    once = send.options(unique="welcome")
    first = once.enqueue("a")
    with pytest.raises(UniqueTaken) as refused:
        once.enqueue("b")
    assert refused.value.task_id == first.task_id
    with pytest.raises(BatchRefused):
        once.enqueue_many([("c",), ("d",)])


def test_coroutines_enqueue_off_the_loop(app: App) -> None:
    @app.task
    async def send(to: str) -> None: ...

    async def main() -> None:
        await asyncio.gather(*[send.enqueue_async(str(n)) for n in range(50)])

    asyncio.run(main())
    asyncio.run(main())
    assert app.queue().stats().ready == 100


def test_a_task_of_the_application_s_own_transaction(lite: App, tmp_path: Path) -> None:
    @lite.task
    def send(to: str) -> None: ...

    lite.queue().stats()
    connection = sqlite3.connect(tmp_path / "jobs.db")
    send.options(connection=connection).enqueue("gone")
    connection.rollback()
    send.options(connection=connection).enqueue_many([("kept",), ("too",)])
    connection.commit()
    connection.close()
    assert [record.payload()["args"]["to"] for record in lite.queue().peek(9)] == ["kept", "too"]


def test_all_queues_of_an_app_share_what_it_has_open(app: App) -> None:
    @app.task(queue="one")
    def first() -> None: ...
    @app.task(queue="two")
    def second() -> None: ...

    first.enqueue()
    second.enqueue()
    assert app.queue_names == ["one", "two"]
    assert app.store.broker() is app.store.broker()
    assert {name: app.queue(name).stats().ready for name in ("one", "two", "mail")} == {
        "one": 1,
        "two": 1,
        "mail": 0,
    }


def test_an_app_that_was_closed_opens_again(app: App) -> None:
    @app.task
    def send() -> None: ...

    send.enqueue()
    app.close()
    send.enqueue()
    assert app.queue().stats().ready == 2


def test_an_app_survives_a_fork(app: App) -> None:
    @app.task
    def send(pid: int) -> None: ...

    send.enqueue(os.getpid())
    in_child(lambda: send.enqueue(os.getpid()))
    assert len({record.payload()["args"]["pid"] for record in app.queue().peek(9)}) == 2


def test_two_handlers_of_one_name_are_an_error() -> None:
    app = App("memory://")
    app.task(test_two_handlers_of_one_name_are_an_error, name="send")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="two task functions 'send'"):
        app.task(name="send")(test_an_app_survives_a_fork)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 0}, "timeout is 0 s"),
        ({"retry": 5}, r"use a Backoff\(first=…"),
        ({"retry_on": "ValueError"}, "use classes of exceptions"),
        ({"reject_on": (int,)}, "use classes of exceptions"),
        ({"max_attempt": 3}, "no option 'max_attempt'; did you mean 'max_attempts'?"),
        ({"priority": "high"}, r"Expected `int`, got `str` - at `\$.priority`"),
        ({"queue": "No Name"}, "is not a queue name"),
    ],
)
def test_a_wrong_policy_is_an_error_where_it_stands(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        App("memory://").task(**options)(test_an_app_survives_a_fork)  # type: ignore[call-overload]


def test_a_wrong_option_is_refused_where_it_stands(app: App) -> None:
    @app.task
    def send() -> None: ...

    with pytest.raises(InvalidTask, match="send: a task has no option 'prio'"):
        send.options(prio=3)  # type: ignore[call-arg]


def test_an_app_without_a_store_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISTQUEUE_URL", raising=False)
    app = App()
    send = app.task(test_there_is_no_delivery_where_no_worker_runs)
    with pytest.raises(ConfigError, match="DISTQUEUE_URL"):
        send.enqueue()


def test_there_is_no_delivery_where_no_worker_runs() -> None:
    with pytest.raises(RuntimeError, match="no task is being handled here"):
        current_delivery()
