"""``app.testing()`` runs handlers as a worker does, when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from distqueue import App, ConfigError, TaskState
from distqueue.testing import AppTester
from tests.testing import shop
from tests.testing.shop import Customer, app, decide, done, fetch, greet, greet_and_fail, hang, send_email


@pytest.fixture(autouse=True)
def nothing_done() -> Iterator[None]:
    done.clear()
    yield
    done.clear()


def test_nothing_runs_until_it_is_told_to(jobs: AppTester) -> None:
    send_email.enqueue("a@example.org")
    assert done == []
    assert jobs.run_until_empty() == 1
    assert done == ["Hello to a@example.org, attempt 1"]
    assert jobs.run_until_empty() == 0


def test_arguments_come_as_the_types_of_the_handler_and_follow_ups_are_run(jobs: AppTester) -> None:
    greet.enqueue(Customer("Ada"))
    assert jobs.run_until_empty() == 2
    assert done == ["greeted Ada", "Hello to Ada, attempt 1"]


def test_follow_ups_of_a_handler_that_fails_are_not_stored(jobs: AppTester) -> None:
    greet_and_fail.enqueue("Ada")
    with pytest.raises(ValueError, match="after all"):
        jobs.run_until_empty()
    assert jobs.enqueued(send_email) == []


def test_async_handlers_run_and_enqueue(jobs: AppTester) -> None:
    fetch.enqueue("a")
    fetch.enqueue("b")
    jobs.run_until_empty()
    assert sorted(done) == [
        "Fetched to a, attempt 1",
        "Fetched to b, attempt 1",
        "fetched a, attempt 1",
        "fetched b, attempt 1",
    ]


async def both(jobs: AppTester) -> int:
    await fetch.enqueue_async("a")
    return await jobs.run_until_empty_async()


@pytest.mark.asyncio
async def test_a_test_that_is_a_coroutine_awaits(jobs: AppTester) -> None:
    assert await both(jobs) == 2
    assert done == ["fetched a, attempt 1", "Fetched to a, attempt 1"]


@pytest.mark.asyncio
async def test_without_await_it_says_so_and_the_task_is_still_there(jobs: AppTester) -> None:
    fetch.enqueue("a")
    with pytest.raises(RuntimeError, match=r"fetch is async.*await run_until_empty_async"):
        jobs.run_until_empty()
    assert await jobs.run_until_empty_async() == 2


def test_sync_handlers_run_in_the_thread_of_the_test(jobs: AppTester) -> None:
    token = shop.mark.set("set by the test")
    shop.marked.enqueue()
    jobs.run_until_empty()
    shop.mark.reset(token)
    assert done == ["set by the test"]


def test_what_a_handler_raises_is_raised_and_its_attempt_is_over(jobs: AppTester) -> None:
    task_id = send_email.enqueue("nobody").task_id
    send_email.enqueue("a@example.org")
    with pytest.raises(ConnectionError, match="no route to nobody") as caught:
        jobs.run_until_empty()
    assert [(one.task_id, one.attempt, one.error) for one in jobs.raised] == [(task_id, 1, caught.value)]
    record = app.queue("emails").find(task_id)
    assert record is not None
    assert (record.state, record.error) == (TaskState.SCHEDULED, "ConnectionError: no route to nobody")
    assert jobs.run_until_empty() == 1  # goes on with the other one
    assert done == ["Hello to a@example.org, attempt 1"]


def test_retries_wait_for_time_to_pass_and_then_the_task_is_dead(jobs: AppTester) -> None:
    send_email.enqueue("nobody")
    ran = []
    for pause in (9.9, 0.1, 20, 3600):
        ran.append(jobs.run_until_empty(raises=False))
        jobs.advance(pause)
    assert ran == [1, 0, 1, 1]
    assert [one.attempt for one in jobs.raised] == [1, 2, 3]
    [record] = jobs.dead(send_email)
    assert record.error == "ConnectionError: no route to nobody"
    assert jobs.dead(fetch) == []
    assert jobs.dead() == [record]


def test_verdicts_are_no_errors(jobs: AppTester) -> None:
    decide.enqueue("reject")
    decide.enqueue("retry")
    jobs.run_until_empty()
    assert [str(one.error) for one in jobs.raised] == ["there is no such customer", "down for maintenance"]
    assert [record.error for record in jobs.dead()] == ["there is no such customer"]
    jobs.advance(timedelta(minutes=10))
    jobs.run_until_empty()
    assert done == ["decided to retry"]


def test_an_async_handler_that_takes_too_long_has_failed(jobs: AppTester) -> None:
    hang.enqueue()
    with pytest.raises(TimeoutError, match=r"longer than its timeout of 0\.01 s"):
        jobs.run_until_empty()


def test_an_interrupt_ends_the_test_whatever_was_asked_for(jobs: AppTester) -> None:
    shop.interrupted.enqueue()
    with pytest.raises(KeyboardInterrupt):
        jobs.run_until_empty(raises=False)


def test_time_stands_still_until_it_is_advanced(jobs: AppTester) -> None:
    began = jobs.now
    send_email.options(delay=60).enqueue("later")
    send_email.options(due=datetime.now(UTC) + timedelta(minutes=5)).enqueue("due")
    send_email.options(due=datetime.now(UTC)).enqueue("now")
    assert jobs.run_until_empty() == 1
    jobs.advance(59.9)
    assert jobs.run_until_empty() == 0
    jobs.advance(0.1)
    assert jobs.run_until_empty() == 1
    jobs.advance(timedelta(minutes=4))
    jobs.run_until_empty()
    assert [line.split()[2] for line in done] == ["now,", "later,", "due,"]
    assert jobs.now == began + timedelta(minutes=5)
    with pytest.raises(ValueError, match="does not go back"):
        jobs.advance(-1)


def test_a_lease_outlasts_a_long_look_in_the_debugger_and_ends_with_the_time(jobs: AppTester) -> None:
    send_email.enqueue("a@example.org")
    queue = app.queue("emails")
    taken = queue.get(timeout=0)
    assert taken is not None
    assert jobs.run_until_empty() == 0
    jobs.advance(30)
    jobs.run_until_empty()
    assert done == ["Hello to a@example.org, attempt 2"]


def test_queues_take_turns_or_go_in_the_order_that_is_said(jobs: AppTester) -> None:
    for name in ("a", "b"):
        send_email.enqueue(name)
        send_email.options(queue="bulk").enqueue(f"bulk-{name}")
    jobs.run_until_empty()
    assert [line.split()[2] for line in done] == ["bulk-a,", "a,", "bulk-b,", "b,"]
    done.clear()
    send_email.enqueue("c")
    send_email.options(queue="bulk").enqueue("bulk-c")
    decide.enqueue("wait")
    assert jobs.run_until_empty("emails", "bulk") == 2
    assert [line.split()[2] for line in done] == ["c,", "bulk-c,"]


def test_priority_groups_and_pauses_are_those_of_a_store(jobs: AppTester) -> None:
    send_email.enqueue("a")
    send_email.options(priority=9).enqueue("urgent")
    app.queue("emails").pause()
    assert jobs.run_until_empty() == 0
    app.queue("emails").resume()
    jobs.run_until_empty()
    assert [line.split()[2] for line in done] == ["urgent,", "a,"]


def test_a_task_without_a_handler_is_said_and_left(jobs: AppTester) -> None:
    app.queue().put({"not": "a call"})
    decide.enqueue("go on")
    with pytest.raises(ConfigError, match="no handler of the app is named None"):
        jobs.run_until_empty()
    assert jobs.run_until_empty(raises=False) == 1
    [left] = app.queue().peek(10)
    assert (left.payload(), left.attempt) == ({"not": "a call"}, 1)


def test_a_follow_up_that_is_refused_is_raised(jobs: AppTester) -> None:
    unique = App()

    @unique.task
    def first() -> None:
        from distqueue import current_delivery

        current_delivery().then(second.options(unique="key").task())

    @unique.task(queue="other")
    def second() -> None: ...

    with unique.testing() as tester:
        second.options(unique="key", delay=1).enqueue()
        first.enqueue()
        with pytest.raises(Exception, match="key"):
            tester.run_until_empty()


def test_each_test_begins_with_nothing_and_the_apps_own_store_is_never_opened(jobs: AppTester) -> None:
    with app.testing() as inner:
        decide.enqueue("inner")
        assert len(inner.enqueued()) == 1
    assert jobs.enqueued() == []
    assert app.configured().url.scheme == "memory"


def test_the_app_has_its_own_store_again_afterwards() -> None:
    with app.testing():
        pass
    assert str(app.configured().url) == "json:////no/such/place/Queue.json"


def test_what_is_put_stays_when_the_code_under_test_closes_the_app(jobs: AppTester) -> None:
    with app:
        decide.enqueue("stay")
    assert jobs.run_until_empty() == 1
