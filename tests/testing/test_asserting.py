"""What a test can say about what was enqueued."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from distqueue import App, TaskFunction
from distqueue.testing import AppTester
from tests.testing.shop import Customer, app, decide, greet, send_email


def test_calls_have_their_arguments_and_options(jobs: AppTester) -> None:
    due = datetime.now(UTC) + timedelta(days=1)
    task_id = send_email.options(delay=timedelta(minutes=1), priority=5).enqueue("a@example.org").task_id
    greet.options(due=due, headers={"trace": "1"}).enqueue(Customer("Ada", 36))
    email, greeting = jobs.enqueued()
    assert (email.task, email.queue, email.task_id) == ("send_email", "emails", task_id)
    assert email.args == {"to": "a@example.org", "subject": "Hello"}
    assert (email.delay, email.due, email.options.priority, email.options.max_attempts) == (60, None, 5, 3)
    assert greeting.args == {"customer": Customer("Ada", 36)}
    assert (greeting.due, greeting.options.headers) == (due, {"trace": "1"})
    assert jobs.enqueued(send_email) == [email]


def test_what_was_run_is_still_listed_and_follow_ups_are_too(jobs: AppTester) -> None:
    greet.enqueue(Customer("Ada"))
    jobs.run_until_empty()
    assert [call.task for call in jobs.enqueued()] == ["greet", "send_email"]


def test_what_was_not_stored_is_not_listed(jobs: AppTester) -> None:
    for _ in range(2):
        send_email.options(task_id="once").enqueue("a@example.org")
    app.queue().put({"not": "a call"})
    assert [call.task_id for call in jobs.enqueued()] == ["once"]


def test_a_call_is_found_however_its_arguments_were_given(jobs: AppTester) -> None:
    send_email.enqueue(to="a@example.org")
    send_email.enqueue_many([("b@example.org",), {"to": "c@example.org", "subject": "Bye"}])
    first = jobs.assert_enqueued(send_email, "a@example.org")
    assert first == jobs.assert_enqueued(send_email, to="a@example.org", subject="Hello")
    jobs.assert_enqueued(send_email, "c@example.org", "Bye")


def test_options_that_are_said_have_to_be_so_and_others_need_not(jobs: AppTester) -> None:
    send_email.options(delay=60, unique="a").enqueue("a@example.org")
    jobs.assert_enqueued(send_email.options(delay=timedelta(minutes=1)), "a@example.org")
    jobs.assert_enqueued(send_email, "a@example.org")
    assert jobs.enqueued(send_email.options(queue="other")) == []
    with pytest.raises(AssertionError):
        jobs.assert_enqueued(send_email.options(delay=61), "a@example.org")
    with pytest.raises(AssertionError):  # though it is what the handler says itself
        jobs.assert_enqueued(send_email.options(max_attempts=4), "a@example.org")


def test_a_message_says_what_was_enqueued_instead(jobs: AppTester) -> None:
    send_email.options(delay=60).enqueue("b@example.org")
    decide.enqueue("so")
    with pytest.raises(AssertionError) as caught:
        jobs.assert_enqueued(send_email.options(priority=5), "a@example.org")
    assert str(caught.value).splitlines() == [
        "send_email(to='a@example.org', subject='Hello') in queue emails with priority=5, max_attempts=3 "
        "was not enqueued; what was:",
        "  send_email(to='b@example.org', subject='Hello') in queue emails with delay=60.0, max_attempts=3",
        "  decide(verdict='so') in queue default",
    ]


def test_a_message_is_not_endless(jobs: AppTester) -> None:
    send_email.enqueue_many([(f"{number}@example.org",) for number in range(25)])
    with pytest.raises(AssertionError, match=r"  and 5 more$"):
        jobs.assert_enqueued(send_email, "a@example.org")


def test_a_message_says_that_there_was_nothing(jobs: AppTester) -> None:
    with pytest.raises(AssertionError, match=r"was not enqueued; nothing was$"):
        jobs.assert_enqueued(decide, "so")


def test_an_app_without_a_url_can_be_tested() -> None:
    bare = App()

    @bare.task
    def add(*numbers: int, **named: int) -> None: ...

    assert isinstance(add, TaskFunction)
    with bare.testing() as tester:
        add.enqueue(1, 2, c=3)
        assert tester.assert_enqueued(add, 1, 2, c=3).args == {"numbers": (1, 2), "named": {"c": 3}}
