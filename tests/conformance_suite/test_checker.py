"""The checker finds each kind of broken promise, and calls nothing broken that is not."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from distqueue.conformance.checker import INVARIANTS, Result, check
from distqueue.conformance.history import (
    AnyEvent,
    Delivered,
    Drained,
    Fault,
    PublishInvoked,
    PublishOk,
    SettleOk,
)

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


# --- One bad history for each invariant --------------------------------------------------------------


def lost() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.publish("b")
    script.settle(script.deliver("b"))
    return script.drained()


def never_ended() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.deliver("a")
    return script.drained()


def gone_though_its_ack_was_refused() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    receipt = script.deliver("a", lease=0.1)
    script.tick(0.2)
    script.settling(receipt)
    script.stale(receipt)
    return script.drained()


def left_over() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a"))
    return script.drained(left=1)


def never_published() -> list[AnyEvent]:
    script = Script()
    script.settle(script.deliver("a"))
    return script.drained()


def another_payload() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", checksum=8))
    return script.drained()


def another_queue() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", queue="other"))
    return script.drained()


def delivered_though_refused() -> list[AnyEvent]:
    script = Script()
    script.invoke("a")
    script.refused("a")
    script.settle(script.deliver("a"))
    return script.drained()


def stored_twice() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.publish("a")
    script.settle(script.deliver("a"))
    return script.drained()


def duplicate_of_nothing() -> list[AnyEvent]:
    script = Script()
    script.invoke("a")
    script.ok("a", duplicate=True)
    script.settle(script.deliver("a"))
    return script.drained()


def delivered_after_its_ack() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", lease=0.1))
    script.tick(0.2)
    script.deliver("a", 2)
    return script.drained()


def acked_twice() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    first = script.deliver("a", lease=0.1)
    script.tick(0.2)
    second = script.deliver("a", 2, "c2")
    script.settle(second, process="c2")
    script.settle(first)
    return script.drained()


def acked_without_delivery() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle("1.a")
    return script.drained()


def one_number_twice() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.deliver("a", lease=0.1)
    script.tick(0.2)
    script.settle(script.deliver("a", 1, "c2"), process="c2")
    return script.drained()


def number_went_back() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.kill("c0")
    script.deliver("a", 2, lease=0.1)
    script.tick(0.2)
    script.settle(script.deliver("a", 1))
    return script.drained()


def two_leases_at_once() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.deliver("a")
    script.settle(script.deliver("a", 2, "c2"), process="c2")
    return script.drained()


def extended_in_vain() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", lease=0.5), "extend", lease=10.0)
    script.tick(1.0)
    script.settle(script.deliver("a", 2, "c2"), process="c2")
    return script.drained()


def another_consumer_was_killed() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.deliver("a")
    script.kill("c3")
    script.settle(script.deliver("a", 2, "c2"), process="c2")
    return script.drained()


def delivery_that_nobody_saw() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    script.settle(script.deliver("a", 2))
    return script.drained()


def live_receipt_refused() -> list[AnyEvent]:
    script = Script()
    script.publish("a")
    receipt = script.deliver("a", lease=0.5)
    script.settling(receipt)
    script.stale(receipt)
    script.tick(1.0)
    script.settle(script.deliver("a", 2))
    return script.drained()


def overtaken() -> list[AnyEvent]:
    script = Script()
    for name in "abc":
        script.publish(name)
    for name in "acb":
        script.settle(script.deliver(name))
    return script.drained()


BAD: dict[str, list[Callable[[], list[AnyEvent]]]] = {
    "nothing_lost": [lost, never_ended, gone_though_its_ack_was_refused, left_over],
    "no_phantom": [never_published, another_payload, another_queue],
    "nothing_from_refused": [delivered_though_refused],
    "one_id_is_one_task": [stored_twice, duplicate_of_nothing],
    "no_delivery_after_ack": [delivered_after_its_ack],
    "one_ack": [acked_twice, acked_without_delivery],
    "numbers_increase": [one_number_twice, number_went_back],
    "leases_apart": [two_leases_at_once, extended_in_vain, another_consumer_was_killed],
    "gaps_explained": [delivery_that_nobody_saw],
    "live_receipts_settle": [live_receipt_refused],
    "in_order": [overtaken],
}


@pytest.mark.parametrize(
    ("invariant", "history"), [(name, each) for name, histories in BAD.items() for each in histories]
)
def test_a_bad_history_breaks_its_invariant(invariant: str, history: Callable[[], list[AnyEvent]]) -> None:
    assert invariant in found(history())


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


# --- Damage to a good history is found -----------------------------------------------------------------


def damaged(history: list[AnyEvent], chance: random.Random) -> list[AnyEvent]:
    """Return the history with one event changed so that a promise is broken."""
    changed = list(history)
    kind = chance.choice([deliver_again, alter_payload, forget_publishing, lose, double_the_store, rename])
    kind(changed, chance)
    return sorted(changed, key=lambda event: event.at)


def some[E: AnyEvent](history: list[AnyEvent], kind: type[E], chance: random.Random) -> E:
    return chance.choice([event for event in history if isinstance(event, kind)])


def deliver_again(history: list[AnyEvent], chance: random.Random) -> None:
    ack = chance.choice([each for each in history if isinstance(each, SettleOk) and each.verb == "ack"])
    delivered = next(each for each in history if isinstance(each, Delivered) and each.receipt == ack.receipt)
    late = msgspec.structs.replace(
        delivered, asked=ack.at + 0.0001, at=ack.at + 0.0002, deliveries=9, receipt="9.x"
    )
    history.append(late)


def alter_payload(history: list[AnyEvent], chance: random.Random) -> None:
    event = some(history, Delivered, chance)
    history[history.index(event)] = msgspec.structs.replace(event, checksum=99)


def forget_publishing(history: list[AnyEvent], chance: random.Random) -> None:
    delivered = some(history, Delivered, chance).task_id
    history[:] = [
        each for each in history if not (isinstance(each, PublishInvoked) and each.task_id == delivered)
    ]


def lose(history: list[AnyEvent], chance: random.Random) -> None:
    lost_id = some(history, PublishOk, chance).task_id
    publishing = (PublishInvoked, PublishOk, Drained, Fault)
    history[:] = [
        each for each in history if isinstance(each, publishing) or getattr(each, "task_id", "") != lost_id
    ]


def double_the_store(history: list[AnyEvent], chance: random.Random) -> None:
    event = chance.choice([each for each in history if isinstance(each, PublishOk) and not each.duplicate])
    history.append(msgspec.structs.replace(event, at=event.at + 0.0001))


def rename(history: list[AnyEvent], chance: random.Random) -> None:
    event = some(history, Delivered, chance)
    history[history.index(event)] = msgspec.structs.replace(event, task_id="nobody")


@pytest.mark.parametrize("seed", range(200))
def test_damage_to_a_good_history_is_found(seed: int) -> None:
    chance = random.Random(seed)
    assert check(damaged(good_history(chance.randint(6, 20)), chance)).result is Result.INVALID
