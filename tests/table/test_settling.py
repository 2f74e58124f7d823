"""Settling: only the newest receipt counts, and follow-up tasks come with it or not at all."""

from __future__ import annotations

import pytest

from distqueue.commands import (
    Ack,
    Cancel,
    Claim,
    Command,
    Extend,
    Find,
    Purge,
    Reject,
    Release,
    Retry,
    Settle,
)
from distqueue.errors import AlreadySettled, LeaseLost, PayloadMismatch, Refused, TaskGone, UniqueTaken
from distqueue.results import Claimed, Found, Lease, Settled, Stored
from distqueue.retry import Backoff
from distqueue.task import TaskRecord, TaskState
from distqueue_backends.memory import MemoryBackend
from tests.json.support import HandClock, ack, claimed, expect, ids, put, ready_ids, release, state_of, stored


def one(table: MemoryBackend, command: Command) -> object:
    return table.apply([command])[0]


def find(table: MemoryBackend, task_id: str) -> TaskRecord | None:
    return expect(table.apply([Find(queue="q", task_id=task_id)])[0], Found).task


def settles(lease: Lease) -> dict[str, Settle]:
    receipt = lease.receipt
    return {
        "ack": ack(lease),
        "retry": Retry(queue="q", receipt=receipt, delay=9),
        "release": release(lease),
        "reject": Reject(queue="q", receipt=receipt),
    }


VERBS = ("ack", "retry", "release", "reject")


@pytest.fixture
def lease(table: MemoryBackend) -> Lease:
    stored(table, put("a", keep_done=50), put("b"))
    (lease,) = claimed(table)
    return lease


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("again", VERBS)
def test_settling_twice(table: MemoryBackend, lease: Lease, verb: str, again: str) -> None:
    first = one(table, settles(lease)[verb])
    assert isinstance(first, Settled)
    before = state_of(table)
    second = one(table, settles(lease)[again])
    if again == verb:
        assert isinstance(second, Settled)
        assert second.task_id == "a"
    else:
        assert isinstance(second, AlreadySettled)
        assert verb in str(second)
    assert isinstance(one(table, Extend(queue="q", receipt=lease.receipt)), AlreadySettled)
    assert state_of(table) == before


@pytest.mark.parametrize("number", ["01", "+1", "0_1", " 1", "1 ", "1\n", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_receipt_has_one_spelling(table: MemoryBackend, number: str) -> None:
    table.apply([put("a")])
    (lease,) = claimed(table)
    other = f"{number}{lease.receipt.removeprefix('1')}"
    refused = one(table, Ack(queue="q", receipt=other))
    assert isinstance(refused, LeaseLost)
    assert "is not a receipt" in str(refused)
    assert isinstance(one(table, Ack(queue="q", receipt=lease.receipt)), Settled)


@pytest.mark.parametrize("verb", VERBS)
def test_a_receipt_is_stale_from_the_end_of_its_lease(
    table: MemoryBackend, clock: HandClock, lease: Lease, verb: str
) -> None:
    clock.now = lease.until
    assert isinstance(one(table, settles(lease)[verb]), LeaseLost)
    (newer,) = claimed(table)
    assert (newer.task_id, newer.attempt, newer.deliveries) == ("a", 2, 2)
    assert isinstance(one(table, settles(lease)[verb]), LeaseLost)
    assert isinstance(one(table, settles(newer)[verb]), Settled)
    assert isinstance(one(table, settles(lease)[verb]), LeaseLost)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "removal", [Cancel(queue="q", task_id="a"), Purge(queue="q")], ids=["cancel", "purge"]
)
def test_who_settles_a_task_that_was_removed_is_told(
    table: MemoryBackend, lease: Lease, verb: str, removal: Command
) -> None:
    table.apply([removal])
    assert isinstance(one(table, settles(lease)[verb]), TaskGone)


@pytest.mark.parametrize(
    "receipt", ["", "nonsense", "1.x", "x.y.a", "1..a", "2.t.a", "1.u.a", "1.t.zzz", "1.t.b"]
)
def test_a_receipt_that_was_never_given_settles_nothing(
    table: MemoryBackend, lease: Lease, receipt: str
) -> None:
    before = state_of(table)
    assert isinstance(one(table, ack(receipt)), LeaseLost)
    assert state_of(table) == before
    assert isinstance(one(table, ack(lease)), Settled)


def test_a_lease_is_extended_from_now(table: MemoryBackend, clock: HandClock, lease: Lease) -> None:
    clock.now += 20
    settled = one(table, Extend(queue="q", receipt=lease.receipt, lease=15))
    assert settled == Settled(task_id="a", state=TaskState.LEASED, until=clock.now + 15)
    clock.now += 14.5
    assert isinstance(one(table, ack(lease)), Settled)


def test_a_claim_whose_answer_was_lost_is_found_again(table: MemoryBackend, clock: HandClock) -> None:
    stored(table, put("a"), put("b", priority=1), put("c"))
    leases = claimed(table, 3, token="mine")  # noqa: S106 - no password
    table.apply([ack(leases[1])])
    again = Claim(queue="q", token="mine", again=True)  # noqa: S106
    assert expect(table.apply([again])[0], Claimed).leases == [leases[0], leases[2]]
    clock.now += 30
    assert expect(table.apply([again])[0], Claimed).leases == []


def test_attempts_are_used_up_by_failures_and_not_by_releases(table: MemoryBackend, clock: HandClock) -> None:
    stored(table, put("a", max_attempts=3))
    for _ in range(5):
        table.apply([release(claimed(table)[0])])
    (lease,) = claimed(table)
    table.apply([Retry(queue="q", receipt=lease.receipt, delay=0, error="first")])
    (lease,) = claimed(table, lease=1)
    assert (lease.attempt, lease.deliveries) == (2, 7)
    clock.now += 1
    (lease,) = claimed(table)
    settled = one(table, Retry(queue="q", receipt=lease.receipt, delay=0, error="last"))
    assert settled == Settled(task_id="a", state=TaskState.DEAD)
    task = find(table, "a")
    assert task is not None
    assert (task.attempt, task.deliveries, task.error, task.place) == (3, 8, "last", None)


def test_a_task_without_a_limit_never_dies(table: MemoryBackend) -> None:
    stored(table, put("a", max_attempts=None))
    for attempt in range(1, 50):
        (lease,) = claimed(table)
        assert lease.attempt == attempt
        table.apply([Retry(queue="q", receipt=lease.receipt, delay=0)])
    assert ready_ids(table) == ["a"]


def test_without_a_delay_the_backoff_decides(table: MemoryBackend, clock: HandClock, lease: Lease) -> None:
    backoff = Backoff(first=4, factor=3, jitter=0)
    settled = one(table, Retry(queue="q", receipt=lease.receipt, backoff=backoff))
    assert settled == Settled(task_id="a", state=TaskState.SCHEDULED, until=clock.now + 4)
    clock.now += 4
    table.apply([Cancel(queue="q", task_id="b")])
    (lease,) = claimed(table)
    settled = expect(table.apply([Retry(queue="q", receipt=lease.receipt, backoff=backoff)])[0], Settled)
    assert settled.until == clock.now + 12


def test_an_expiring_task_goes_only_if_it_was_never_handed_out(
    table: MemoryBackend, clock: HandClock
) -> None:
    stored(
        table, put("taken", expires_in=5), put("waiting", expires_in=5), put("later", expires_in=5, delay=9)
    )
    table.apply([release(claimed(table)[0])])
    clock.now += 5
    assert ids(claimed(table, 9)) == ["taken"]
    assert find(table, "waiting") is None
    assert find(table, "later") is None


def test_follow_up_tasks_come_with_the_ack(table: MemoryBackend, lease: Lease) -> None:
    settled = one(table, ack(lease, put("next"), put("elsewhere", queue="other"), put("b")))
    assert isinstance(settled, Settled)
    assert settled.then == (
        Stored(task_id="next"),
        Stored(task_id="elsewhere"),
        Stored(task_id="b", duplicate=True),
    )
    again = one(table, ack(lease, put("next"), put("elsewhere", queue="other"), put("b")))
    assert isinstance(again, Settled)
    assert all(each.duplicate for each in again.then)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (put("b", "another payload"), PayloadMismatch),
        (put("a", "another payload"), PayloadMismatch),
        (put("x", unique="taken"), UniqueTaken),
        (put("good", "another payload"), PayloadMismatch),
        (put("x" * 200), Refused),
    ],
)
def test_if_one_follow_up_task_is_refused_nothing_is_done(
    table: MemoryBackend, lease: Lease, bad: Command, error: type[Refused]
) -> None:
    stored(table, put("holder", unique="taken", queue="q"))
    before = state_of(table)
    outcome = one(table, ack(lease, put("good", queue="q"), bad))  # type: ignore[arg-type]
    assert isinstance(outcome, error)
    assert state_of(table) == before
    assert isinstance(one(table, ack(lease)), Settled)


def test_a_follow_up_task_may_take_the_key_and_the_group_of_the_one_that_is_done(
    table: MemoryBackend,
) -> None:
    stored(table, put("a", unique="k", group="g"))
    (lease,) = claimed(table)
    assert isinstance(one(table, ack(lease, put("b", unique="k", group="g"))), Settled)
    assert ids(claimed(table)) == ["b"]


def test_an_unpaired_surrogate_in_an_error_becomes_an_escape(table: MemoryBackend, lease: Lease) -> None:
    outcomes = table.apply(
        [Reject(queue="q", receipt=lease.receipt, error="bad name: \udcff"), release(lease)]
    )
    assert isinstance(outcomes[0], Settled)
    task = find(table, "a")
    assert task is not None
    assert task.error == "bad name: \\udcff"


def test_the_middle_of_a_long_error_is_cut(table: MemoryBackend, lease: Lease) -> None:
    table.apply([Reject(queue="q", receipt=lease.receipt, error="begin" + "x" * 200_000 + "end")])
    task = find(table, "a")
    assert task is not None
    assert task.error is not None
    assert len(task.error) <= 65536
    assert task.error.startswith("begin")
    assert task.error.endswith("end")


def test_releasing_of_the_unknown_is_refused_alone(table: MemoryBackend, lease: Lease) -> None:
    good, bad, also_good = table.apply(
        [put("x"), Release(queue="nowhere", receipt=lease.receipt), ack(lease)]
    )
    assert isinstance(good, Stored)
    assert isinstance(bad, LeaseLost)
    assert isinstance(also_good, Settled)
