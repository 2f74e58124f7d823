"""Who is next: priority, then place in line; what keeps a place and what takes a new one."""

from __future__ import annotations

from distqueue import Queue
from distqueue.commands import Browse, Cancel, Claim, Extend, Pause, Put, Redrive, Reject, Resume, Retry
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.payload import encode
from distqueue.results import Browsed, Claimed, Seen
from distqueue_backends.memory import MemoryBackend
from tests.json.support import HandClock, ack, claim, claimed, expect, ids, put, ready_ids, release, stored


def test_the_order_of_putting_holds_within_a_priority(table: MemoryBackend) -> None:
    stored(table, put("a"), put("b", priority=1), put("c"), put("d", priority=31), put("e", priority=1))
    assert ready_ids(table) == ["d", "b", "e", "a", "c"]
    assert ids(claimed(table, 9)) == ["d", "b", "e", "a", "c"]


def test_a_released_task_and_one_whose_lease_ran_out_stand_where_they_stood(
    table: MemoryBackend, clock: HandClock
) -> None:
    stored(table, *[put(name) for name in "abcd"])
    a, b, _ = claimed(table, 3, lease=10)
    table.apply([release(b), release(a)])
    clock.now += 10
    assert ready_ids(table) == ["a", "b", "c", "d"]
    assert [(lease.attempt, lease.deliveries) for lease in claimed(table, 4)] == [
        (1, 2),
        (1, 2),
        (2, 2),
        (1, 1),
    ]


def test_a_retried_task_goes_to_the_end(table: MemoryBackend) -> None:
    stored(table, put("a"), put("b"))
    (lease,) = claimed(table)
    table.apply([Retry(queue="q", receipt=lease.receipt, delay=0), put("c")])
    assert ready_ids(table) == ["b", "a", "c"]


def test_a_redriven_task_goes_to_the_end_with_all_its_attempts(table: MemoryBackend) -> None:
    stored(table, put("a", max_attempts=1), put("b"))
    (lease,) = claimed(table)
    table.apply([Reject(queue="q", receipt=lease.receipt), put("c"), Redrive(queue="q"), put("d")])
    assert ready_ids(table) == ["b", "c", "a", "d"]
    assert [lease.attempt for lease in claimed(table, 3)] == [1, 1, 1]


def test_due_tasks_stand_behind_what_is_ready_by_due_time_then_by_putting(
    table: MemoryBackend, clock: HandClock
) -> None:
    stored(
        table,
        put("late", delay=9),
        put("x", due=clock.now + 5),
        put("y", due=clock.now + 5),
        put("soon", delay=1),
    )
    clock.now += 9
    stored(table, put("ready"))
    assert ids(claimed(table, 9)) == ["ready", "soon", "x", "y", "late"]


def test_a_clock_that_goes_back_reorders_nothing(table: MemoryBackend, clock: HandClock) -> None:
    stored(table, put("a"), put("later", delay=5))
    clock.now -= 3600
    stored(table, put("b"))
    (lease,) = claimed(table)
    table.apply([release(lease)])
    assert ready_ids(table) == ["a", "b"]
    clock.now += 3605
    assert ids(claimed(table, 9)) == ["a", "b", "later"]


def test_what_is_due_in_the_past_is_ready_at_once(table: MemoryBackend, clock: HandClock) -> None:
    stored(table, put("a", due=clock.now), put("b", delay=0), put("c", due=5.0))
    assert ready_ids(table) == ["a", "b", "c"]


def test_cancelled_tasks_leave_no_hole(table: MemoryBackend) -> None:
    count = 3000
    for begin in range(0, count, 1000):
        stored(table, *[put(str(number)) for number in range(begin, begin + 1000)])
    returned = claimed(table, 500)
    table.apply([release(lease) for lease in reversed(returned)])
    table.apply([Cancel(queue="q", task_id=str(number)) for number in range(count) if number % 10])
    left = [str(number) for number in range(0, count, 10)]
    assert ready_ids(table) == left
    assert ids(claimed(table, count)) == left


def test_a_paused_queue_gives_nothing_out_and_takes_everything_else(table: MemoryBackend) -> None:
    stored(table, put("a"))
    (lease,) = claimed(table)
    table.apply([Pause(queue="q"), put("b"), release(lease)])
    result = expect(table.apply([claim()])[0], Claimed)
    assert (result.leases, result.seen.wake_at) == ([], None)
    assert ready_ids(table) == ["a", "b"]
    table.apply([Resume(queue="q")])
    assert ids(claimed(table, 9)) == ["a", "b"]


def test_an_empty_claim_tells_when_something_may_come(table: MemoryBackend, clock: HandClock) -> None:
    stored(table, put("later", delay=50), put("expiring", delay=40, expires_in=45), put("a"))
    (lease,) = claimed(table, lease=30)
    start = clock.now

    def wake_at() -> float | None:
        return expect(table.apply([claim()])[0], Claimed).seen.wake_at

    assert wake_at() == start + 30
    table.apply([Extend(queue="q", receipt=lease.receipt, lease=100)])
    assert wake_at() == start + 40
    table.apply([Cancel(queue="q", task_id="expiring")])
    assert wake_at() == start + 50
    table.apply([ack(lease), Cancel(queue="q", task_id="later")])
    assert wake_at() is None


def test_a_wait_returns_at_once_if_something_happened_since(table: MemoryBackend) -> None:
    seen = expect(table.apply([claim()])[0], Claimed).seen
    stored(table, put("a"))
    assert table.wait("q", seen, None).version != seen.version
    assert table.wait("q", Seen(), None).version >= 0


def test_pages_go_through_everything_once(table: MemoryBackend) -> None:
    stored(table, *[put(str(number), priority=number % 3) for number in range(25)])
    for limit in (1, 7, 25, 100):
        found: list[str] = []
        after: int | None = None
        while True:
            page = expect(table.apply([Browse(queue="q", limit=limit, after=after)])[0], Browsed)
            found += [task.task_id for task in page.tasks]
            after = page.next
            if after is None:
                break
        assert found == [str(number) for number in range(25)]


def test_pages_hold_while_the_queue_is_in_use(table: MemoryBackend) -> None:
    stored(table, *[put(str(number)) for number in range(20)])
    first = expect(table.apply([Browse(queue="q", limit=5)])[0], Browsed)
    lease, *_ = claimed(table, 8)
    table.apply([ack(lease), put("new"), Cancel(queue="q", task_id="12")])
    rest = expect(table.apply([Browse(queue="q", limit=100, after=first.next)])[0], Browsed)
    assert [task.task_id for task in rest.tasks] == [*map(str, range(5, 12)), *map(str, range(13, 20)), "new"]


def test_what_is_handed_out_at_once_is_bounded_in_bytes() -> None:
    backend = MemoryBackend()
    for start in range(0, 80, 20):
        backend.apply([Put.make("q", f"t{n}", encode("x" * 1_000_000)) for n in range(start, start + 20)])
    (claimed,) = backend.apply([Claim(queue="q", token="a", count=80)])  # noqa: S106
    (rest,) = backend.apply([Claim(queue="q", token="b", count=80)])  # noqa: S106
    assert isinstance(claimed, Claimed)
    assert isinstance(rest, Claimed)
    assert [lease.task_id for lease in (*claimed.leases, *rest.leases)] == [f"t{n}" for n in range(80)]
    assert MAX_BATCH_BYTES <= sum(len(lease.data) for lease in claimed.leases) < MAX_BATCH_BYTES + 2_000_000


def test_a_page_is_bounded_in_bytes_and_goes_on() -> None:
    backend = MemoryBackend()
    for start in range(0, 80, 20):
        backend.apply([Put.make("q", f"t{n}", encode("x" * 1_000_000)) for n in range(start, start + 20)])
    with Queue.over(backend, "q") as queue:
        leases = queue.get_many(80) + queue.get_many(80)
        for delivery in leases:
            delivery.reject()
        assert [task.task_id for task in queue.dead(80)] == [f"t{n}" for n in range(80)]
