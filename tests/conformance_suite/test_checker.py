"""The checker finds each kind of broken promise, and calls nothing broken that is not."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from distqueue.conformance.checker import INVARIANTS, Result, check
from distqueue.conformance.history import AnyEvent, Delivered, Drained, Fault

from .bad_histories import BAD, overtaken, two_leases_at_once
from .histories import Script, good_history


def found(history: list[AnyEvent]) -> set[str]:
    """The invariants that a history breaks."""
    verdict = check(history)
    assert (verdict.result is Result.INVALID) == bool(verdict.problems)
    return {problem.invariant for problem in verdict.problems}


def test_a_good_history_is_valid() -> None:
    verdict = check(good_history())
    assert verdict.result is Result.VALID, verdict.text()
    assert verdict.counts == {
        "published": 14,
        "acknowledged": 13,
        "refused": 1,
        "unanswered": 0,
        "published_again": 1,
        "delivered": 21,
        "acked": 13,
        "settles_refused": 2,
        "kills": 3,
        "problems": 0,
        "redelivered_after_retry": 2,
        "redelivered_after_release": 2,
        "redelivered_after_kill": 2,
        "redelivered_after_lapse": 2,
    }


@pytest.mark.parametrize(
    ("invariant", "history"), [(name, each) for name, histories in BAD.items() for each in histories]
)
def test_a_bad_history_breaks_its_invariant(invariant: str, history: Callable[[], list[AnyEvent]]) -> None:
    assert invariant in found(history())


@pytest.mark.parametrize("history", [each for histories in BAD.values() for each in histories])
def test_the_evidence_is_the_few_events_that_show_it(history: Callable[[], list[AnyEvent]]) -> None:
    for problem in check(history()).problems:
        assert 1 <= len(problem.evidence) <= 4
        assert {getattr(event, "task_id", problem.task_id) for event in problem.evidence} <= {
            problem.task_id,
            problem.text.partition("overtaken by ")[2].partition(",")[0] or problem.task_id,
        }


def test_the_evidence_does_not_grow_with_the_history() -> None:
    script = Script()
    script.publish("a")
    for number in range(1, 200):
        script.deliver("a", number)
        script.kill("c1")
    assert {len(problem.evidence) for problem in check(script.drained()).problems} == {2}


def test_every_invariant_has_a_bad_history() -> None:
    assert set(BAD) == {invariant.__name__ for invariant in INVARIANTS}


def test_a_problem_shows_its_evidence() -> None:
    (problem,) = check(two_leases_at_once()).problems
    assert problem.task_id == "a"
    assert [event.deliveries for event in problem.evidence if isinstance(event, Delivered)] == [1, 2]
    assert "leases_apart" in check(two_leases_at_once()).text()


# --- A history that shows nothing --------------------------------------------------------------------


def test_an_empty_history_is_unknown() -> None:
    assert check([]).result is Result.UNKNOWN


def test_a_history_that_was_not_drained_is_unknown() -> None:
    verdict = check([event for event in good_history() if not isinstance(event, Drained)])
    assert verdict.result is Result.UNKNOWN
    assert "not drained" in verdict.reason


def test_a_history_without_an_acknowledged_put_is_unknown() -> None:
    script = Script()
    script.invoke("a")
    script.unknown("a")
    assert check(script.drained()).result is Result.UNKNOWN


def test_a_history_without_an_ack_is_unknown() -> None:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a"), "reject")
    assert check(script.drained(dead=("a",))).result is Result.UNKNOWN


def test_a_history_without_a_fault_is_unknown_where_some_were_planned() -> None:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a"))
    calm = script.drained()
    assert check(calm).result is Result.VALID
    verdict = check(calm, faults_expected=True)
    assert (verdict.result, verdict.reason) == (Result.UNKNOWN, "no fault fired, though some were planned")
    assert check(good_history(), faults_expected=True).result is Result.VALID


def test_going_on_after_a_stop_is_no_fault() -> None:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a"))
    script.events.append(Fault(at=script.tick(), process="test", kind="continue", victim="c1"))
    assert check(script.drained(), faults_expected=True).result is Result.UNKNOWN


def test_a_broken_promise_without_a_fault_is_a_broken_promise() -> None:
    assert check(two_leases_at_once(), faults_expected=True).result is Result.INVALID


# --- What is allowed ---------------------------------------------------------------------------------


def test_an_ack_without_an_answer_may_have_ended_the_task() -> None:
    script = Script()
    script.publish("other")
    script.settle(script.deliver("other"))
    script.publish("a")
    script.settling(script.deliver("a"))
    script.kill("c1")
    assert check(script.drained()).result is Result.VALID


def test_a_repeated_ack_is_one_ack() -> None:
    script = Script()
    script.publish("a")
    receipt = script.deliver("a")
    script.settling(receipt)
    script.settle(receipt)
    script.settled(receipt)
    assert check(script.drained()).result is Result.VALID


def test_an_unknown_put_may_be_delivered_or_not() -> None:
    script = Script()
    for name in "ab":
        script.invoke(name)
        script.unknown(name)
    script.publish("c")
    for name in "bc":
        script.settle(script.deliver(name))
    assert check(script.drained()).result is Result.VALID


def test_a_dead_task_is_not_lost() -> None:
    script = Script()
    for name in "ab":
        script.publish(name)
    script.settle(script.deliver("a"))
    script.deliver("b")
    assert check(script.drained(dead=("b",))).result is Result.VALID


def test_order_is_not_asked_of_a_backend_that_does_not_promise_it() -> None:
    assert check(overtaken(), ordered=False).result is Result.VALID


def test_claims_that_run_at_the_same_time_are_in_no_order() -> None:
    script = Script()
    script.publish("a")
    script.publish("b")
    later = script.deliver("b", 1, "c2")
    first = script.deliver("a")
    overlapping = [
        msgspec.structs.replace(event, asked=event.asked - 0.01) if isinstance(event, Delivered) else event
        for event in script.events
    ]
    script.events[:] = overlapping
    script.settle(first)
    script.settle(later, process="c2")
    assert check(script.drained()).result is Result.VALID
