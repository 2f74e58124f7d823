"""Groups, unique keys, and ids that are known: what holds tasks back, and what is refused."""

from __future__ import annotations

import pytest

from distqueue.commands import Cancel, Command, Purge, Redrive, Reject, Release, Retry, Stats
from distqueue.errors import GroupPriorityMismatch, PayloadMismatch, TaskNotFound, UniqueTaken
from distqueue.results import Counted, Lease, Redriven, Stored
from distqueue_backends.memory import MemoryBackend
from tests.json.support import HandClock, ack, claimed, expect, ids, put, ready_ids, stored


def one(table: MemoryBackend, command: Command) -> object:
    return table.apply([command])[0]


@pytest.fixture
def head(table: MemoryBackend) -> Lease:
    """The lease of the first of three tasks of one group."""
    stored(table, put("a", group="g"), put("b", group="g"), put("c", group="g"))
    (lease,) = claimed(table, 9)
    return lease


def test_one_task_of_a_group_is_out_at_a_time(table: MemoryBackend, head: Lease) -> None:
    assert claimed(table, 9) == []
    table.apply([ack(head)])
    assert ids(claimed(table, 9)) == ["b"]


@pytest.mark.parametrize("how", ["retry at once", "retry later", "release"])
def test_a_group_waits_for_its_head_whatever_becomes_of_it(
    table: MemoryBackend, head: Lease, how: str
) -> None:
    commands: dict[str, Command] = {
        "retry at once": Retry(queue="q", receipt=head.receipt, delay=0),
        "retry later": Retry(queue="q", receipt=head.receipt, delay=100),
        "release": Release(queue="q", receipt=head.receipt),
    }
    table.apply([commands[how]])
    assert ready_ids(table) == ([] if how == "retry later" else ["a"])
    assert ids(claimed(table, 9)) == ([] if how == "retry later" else ["a"])


def test_a_scheduled_head_blocks_its_group(table: MemoryBackend, clock: HandClock) -> None:
    stored(table, put("a", group="g", delay=5), put("b", group="g"), put("other"))
    assert ids(claimed(table, 9)) == ["other"]
    clock.now += 5
    assert ids(claimed(table, 9)) == ["a"]


@pytest.mark.parametrize("how", ["dead", "cancelled", "purged", "expired"])
def test_a_group_goes_on_without_a_head_that_is_gone(
    table: MemoryBackend, clock: HandClock, how: str
) -> None:
    stored(table, put("a", group="g", expires_in=5), put("b", group="g"))
    match how:
        case "dead":
            (lease,) = claimed(table)
            table.apply([Reject(queue="q", receipt=lease.receipt)])
        case "cancelled":
            table.apply([Cancel(queue="q", task_id="a")])
        case "purged":
            table.apply([Purge(queue="q"), put("b2", group="g")])
        case _:
            clock.now += 5
    assert ids(claimed(table, 9)) == ["b2" if how == "purged" else "b"]


def test_members_keep_their_order_and_a_redriven_one_goes_to_the_end(
    table: MemoryBackend, head: Lease
) -> None:
    table.apply([Reject(queue="q", receipt=head.receipt), Redrive(queue="q")])
    order = []
    while leases := claimed(table, 9):
        order += ids(leases)
        table.apply([ack(lease) for lease in leases])
    assert order == ["b", "c", "a"]


def test_a_group_has_one_priority_as_long_as_it_has_tasks(table: MemoryBackend, head: Lease) -> None:
    assert isinstance(one(table, put("d", group="g", priority=1)), GroupPriorityMismatch)
    table.apply([Purge(queue="q")])
    stored(table, put("d", group="g", priority=1))


def test_those_that_wait_for_their_head_are_counted(table: MemoryBackend, head: Lease) -> None:
    (counts,) = expect(table.apply([Stats(queue="q")])[0], Counted).queues
    assert (counts.ready, counts.waiting, counts.leased) == (2, 2, 1)


@pytest.mark.parametrize("state", ["scheduled", "ready", "leased"])
def test_a_unique_key_is_held_while_its_task_is_live(
    table: MemoryBackend, clock: HandClock, state: str
) -> None:
    stored(table, put("a", unique="k", delay=5 if state == "scheduled" else None))
    if state == "leased":
        claimed(table)
    refusal = one(table, put("b", unique="k"))
    assert isinstance(refusal, UniqueTaken)
    assert refusal.task_id == "a"
    stored(table, put("c", unique="k", queue="other"), put("d", unique="another"))


@pytest.mark.parametrize("how", ["done", "dead", "cancelled"])
def test_a_unique_key_is_free_once_its_task_is_not_live(table: MemoryBackend, how: str) -> None:
    stored(table, put("a", unique="k", keep_done=100))
    (lease,) = claimed(table)
    ends: dict[str, Command] = {
        "done": ack(lease),
        "dead": Reject(queue="q", receipt=lease.receipt),
        "cancelled": Cancel(queue="q", task_id="a"),
    }
    table.apply([ends[how]])
    stored(table, put("b", unique="k"))


def test_a_redrive_into_a_taken_key_is_refused_alone(table: MemoryBackend) -> None:
    stored(table, put("a", unique="k"), put("x"))
    table.apply([Reject(queue="q", receipt=lease.receipt) for lease in claimed(table, 2)])
    stored(table, put("b", unique="k"))
    assert one(table, Redrive(queue="q")) == Redriven(count=1, refused=("a",))
    assert isinstance(one(table, Redrive(queue="q", task_id="x")), TaskNotFound)


def test_a_known_id_is_a_duplicate_and_with_another_payload_refused(
    table: MemoryBackend, clock: HandClock
) -> None:
    stored(table, put("a", keep_done=5))
    for _ in range(3):
        assert one(table, put("a")) == Stored(task_id="a", duplicate=True)
        assert isinstance(one(table, put("a", "another")), PayloadMismatch)
        table.apply([ack(lease) for lease in claimed(table)])
        clock.now += 5
    stored(table, put("a", queue="other"))


def test_ids_are_remembered_for_a_time_and_up_to_a_number(table: MemoryBackend, clock: HandClock) -> None:
    stored(table, *[put(str(number)) for number in range(7)])
    table.apply([ack(lease) for lease in claimed(table, 7)])
    assert [one(table, put(str(number), "new")) for number in (0, 1)] == [
        Stored(task_id="0"),
        Stored(task_id="1"),
    ]
    assert isinstance(one(table, put("2", "new")), PayloadMismatch)
    clock.now += 60
    stored(table, put("2", "new"))


@pytest.mark.parametrize("verb", ["cancel", "purge"])
def test_removed_ids_stay_remembered(table: MemoryBackend, verb: str) -> None:
    stored(table, put("a"))
    table.apply([Cancel(queue="q", task_id="a") if verb == "cancel" else Purge(queue="q")])
    assert one(table, put("a")) == Stored(task_id="a", duplicate=True)
