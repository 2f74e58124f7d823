"""Acks and the claim after them are one statement, and what is wrong with one is not with the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import psycopg
import pytest

from distqueue.broker import Broker
from distqueue.commands import Ack, Claim, Command, Fence, Find, Pause, Put, Reject
from distqueue.errors import AlreadySettled, InvalidTask, LeaseLost, Moved, Refused
from distqueue.fences import FenceLevel
from distqueue.opening import open_broker
from distqueue.outcomes import expect
from distqueue.results import Claimed, Found, Lease, Outcome, Settled, Stored


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    broker = open_broker(url)
    yield broker
    broker.close()


def put(broker: Broker, *task_ids: str, queue: str = "work") -> None:
    outcomes = broker.apply([Put.make(queue, task_id, b"1") for task_id in task_ids])
    assert all(isinstance(outcome, Stored) for outcome in outcomes)


def leases(outcome: Outcome) -> list[Lease]:
    return expect(outcome, Claimed).leases


def claim(token: str, count: int = 2, queue: str = "work") -> Claim:
    return Claim(queue=queue, token=token, count=count)


def acks(outcome: Outcome, queue: str = "work") -> list[Command]:
    return [Ack(queue=queue, receipt=lease.receipt) for lease in leases(outcome)]


def test_what_is_acked_is_gone_and_the_next_are_there(broker: Broker) -> None:
    put(broker, "a", "b", "c", "d")
    (first,) = broker.apply([claim("one")])
    *settled, second = broker.apply([*acks(first), claim("two")])
    assert [type(outcome) for outcome in settled] == [Settled, Settled]
    assert [lease.task_id for lease in leases(second)] == ["c", "d"]
    *settled, third = broker.apply([*acks(second), claim("three")])
    assert [type(outcome) for outcome in settled] == [Settled, Settled]
    assert leases(third) == []
    assert broker.apply([Find(queue="work", task_id="a")]) == [Found(task=None)]


def test_a_receipt_in_another_spelling_settles_nothing(broker: Broker) -> None:
    put(broker, "a")
    (first,) = broker.apply([claim("one")])
    (lease,) = leases(first)
    other = Ack(queue="work", receipt=f"0{lease.receipt}")
    assert [type(outcome) for outcome in broker.apply([*acks(first), other])] == [Settled, LeaseLost]


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_no_text_is_no_receipt(broker: Broker, count: int) -> None:
    nothing = [Ack(queue="work", receipt=cast(str, ["1.t.a"]))] * count
    assert [type(outcome) for outcome in broker.apply(nothing)] == [InvalidTask] * count


def test_it_is_one_transaction(broker: Broker, other: psycopg.Connection) -> None:
    put(broker, "a", "b", "c", "d")
    (first,) = broker.apply([claim("one")])
    broker.apply([*acks(first), claim("two")])
    wrote = other.execute("SELECT xmin::text FROM gone UNION ALL SELECT xmin::text FROM hidden").fetchall()
    assert len(wrote) == 4
    assert len(set(wrote)) == 1


def test_a_stale_receipt_is_refused_alone(broker: Broker) -> None:
    put(broker, "a", "b", "c")
    (first,) = broker.apply([claim("one")])
    good, again = acks(first)
    broker.apply([again])
    stale = Ack(queue="work", receipt=f"1.another.{leases(first)[0].task_id}")
    nothing = Ack(queue="work", receipt="none")
    outcomes = broker.apply([good, again, stale, nothing, claim("two")])
    assert [type(outcome) for outcome in outcomes[:4]] == [Settled, Settled, LeaseLost, LeaseLost]
    assert [lease.task_id for lease in leases(outcomes[4])] == ["c"]
    (only,) = broker.apply([claim("three")])
    assert leases(only) == []


def test_no_receipt_is_one(broker: Broker) -> None:
    put(broker, "a")
    refused, claimed = broker.apply([Ack(queue="work", receipt="none"), claim("one")])
    assert isinstance(refused, LeaseLost)
    assert [lease.task_id for lease in leases(claimed)] == ["a"]


def test_a_claim_that_is_none_is_refused_alone(broker: Broker) -> None:
    put(broker, "a", "b")
    (first,) = broker.apply([claim("one", 1)])
    settled, refused = broker.apply([*acks(first), claim("two", count=0)])
    assert isinstance(settled, Settled)
    assert isinstance(refused, InvalidTask)


def test_queues_may_differ(broker: Broker) -> None:
    put(broker, "a")
    put(broker, "b", queue="other")
    (first,) = broker.apply([claim("one")])
    settled, claimed = broker.apply([*acks(first), claim("two", queue="other")])
    assert isinstance(settled, Settled)
    assert [lease.task_id for lease in leases(claimed)] == ["b"]
    settled, claimed = broker.apply([*acks(claimed, "other"), claim("three", queue="new")])
    assert isinstance(settled, Settled)
    assert leases(claimed) == []


def test_a_fence_refuses_what_it_is_for(broker: Broker) -> None:
    put(broker, "a", "b")
    (first,) = broker.apply([claim("one", 1)])
    broker.apply([Fence(queue="work", level=FenceLevel.DRAINING, note="json:///elsewhere.json")])
    settled, refused = broker.apply([*acks(first), claim("two")])
    assert isinstance(settled, Settled)
    assert isinstance(refused, Refused)


def test_both_are_fenced(broker: Broker) -> None:
    put(broker, "a", "b")
    (first,) = broker.apply([claim("one", 1)])
    for level in (FenceLevel.DRAINING, FenceLevel.FROZEN, FenceLevel.MOVED):
        broker.apply([Fence(queue="work", level=level, note="json:///elsewhere.json")])
    outcomes = broker.apply([*acks(first), claim("two")])
    assert [type(outcome) for outcome in outcomes] == [Moved, Moved]


def test_a_paused_queue_lets_settle(broker: Broker) -> None:
    put(broker, "a", "b")
    (first,) = broker.apply([claim("one", 1)])
    broker.apply([Pause(queue="work")])
    settled, claimed = broker.apply([*acks(first), claim("two")])
    assert isinstance(settled, Settled)
    assert leases(claimed) == []


def test_the_next_of_a_group_is_there_at_once(broker: Broker) -> None:
    broker.apply([Put.make("work", task_id, b"1", group="g") for task_id in ("a", "b")])
    (first,) = broker.apply([claim("one")])
    assert len(leases(first)) == 1
    settled, claimed = broker.apply([*acks(first), claim("two")])
    assert isinstance(settled, Settled)
    assert [lease.task_id for lease in leases(claimed)] == ["b"]


@pytest.mark.parametrize("keep_done", [0.0, 60.0])
def test_all_kinds_are_acked_together(broker: Broker, keep_done: float) -> None:
    """Those that failed before, have a group or a key, or are kept, and plain ones."""
    broker.apply(
        [
            Put.make("work", "plain", b"1"),
            Put.make("work", "kept", b"1", keep_done=keep_done),
            Put.make("work", "keyed", b"1", unique="key"),
            Put.make("work", "grouped", b"1", group="g", keep_done=keep_done),
        ]
    )
    (first,) = broker.apply([claim("one", 4)])
    *settled, _ = broker.apply([*acks(first), claim("two")])
    assert [type(outcome) for outcome in settled] == [Settled] * 4
    *repeated, _ = broker.apply([*acks(first), claim("three")])
    assert [type(outcome) for outcome in repeated] == [Settled] * 4
    found = [
        broker.apply([Find(queue="work", task_id=each)])[0] for each in ("plain", "kept", "keyed", "grouped")
    ]
    kept = [isinstance(outcome, Found) and outcome.task is not None for outcome in found]
    assert kept == [False, keep_done > 0, False, keep_done > 0]
    assert broker.apply([Put.make("work", "more", b"1", unique="key")]) == [Stored(task_id="more")]


def test_an_id_that_is_forgotten_is_used_again(url: str) -> None:
    """It is forgotten at once here, and nobody has tidied up yet."""
    broker = open_broker(url, dedup_window=0.0)
    for turn, key in enumerate([None, None, "key", "key", None]):
        assert broker.apply([Put.make("work", "a", b"1", unique=key)]) == [Stored(task_id="a")]
        (claimed,) = broker.apply([claim(f"turn{turn}")])
        assert [type(outcome) for outcome in broker.apply(acks(claimed))] == [Settled]
    broker.close()


def test_the_ack_of_another_verb_is_refused(broker: Broker) -> None:
    put(broker, "a", "b")
    (first,) = broker.apply([claim("one", 1)])
    broker.apply([Reject(queue="work", receipt=leases(first)[0].receipt)])
    refused, claimed = broker.apply([*acks(first), claim("two")])
    assert isinstance(refused, AlreadySettled)
    assert [lease.task_id for lease in leases(claimed)] == ["b"]
