"""Claims go round the shards: nobody is starved, nothing is waited for in vain, no wake-up is lost."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distqueue import ShardUnavailable, StoreBusy, StoreServed
from distqueue.broker import Broker
from distqueue.broker.door import Door
from distqueue.commands import Redrive, Reject
from distqueue.results import Claimed, Redriven, Settled, Stored
from distqueue_backends.lock import StoreLock
from distqueue_backends.sharded.routing import shard_of
from distqueue_backends.sharded.turns import STAY

from .support import COUNT, IDS, QUEUE, ack, browsed, claim, claimed, expect, ids, opened, put, shard, stored


@contextmanager
def locked(directory: Path, *numbers: int) -> Iterator[None]:
    """Hold the locks of shards, as a process that stands still does."""
    fds = [os.open(f"{shard(directory, number)}.lock", os.O_RDWR) for number in numbers]
    for fd in fds:
        fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)


def test_a_claim_takes_from_as_many_shards_as_it_needs(directory: Path) -> None:
    with opened(directory) as backend:
        stored(backend, *[put(f"{group}-{n}", group=group) for group in IDS for n in range(3)])
        leases = claimed(backend, 20)
        assert ids(leases) == sorted(f"{group}-0" for group in IDS)  # one a group
        for lease in leases:
            expect(backend.apply([ack(lease)])[0], Settled)
        assert len(claimed(backend, 3)) == 3
        assert len(claimed(backend, 20)) == 5


def test_no_shard_is_starved_while_others_are_filled(directory: Path) -> None:
    with opened(directory) as backend, opened(directory) as other:
        fillers = [f"filler-{n}" for n in range(300)]
        stored(backend, *[put(each) for each in fillers if shard_of(each, COUNT) != 5])
        stored(other, put("rare", group=IDS[5]))
        assert "rare" in [lease.task_id for _ in range(STAY * COUNT) for lease in claimed(backend)]


def test_the_known_head_of_highest_priority_comes_first(directory: Path) -> None:
    with opened(directory) as backend:
        stored(backend, *[put(task_id, priority=number) for number, task_id in enumerate(IDS)])
        assert [lease.task_id for _ in IDS for lease in claimed(backend)] == IDS[::-1]


def test_a_high_priority_of_another_process_is_not_passed_over_for_ever(directory: Path) -> None:
    with opened(directory) as backend, opened(directory) as other:
        stored(backend, *[put(f"low-{n}", priority=1) for n in range(100)])
        claimed(backend)
        stored(other, put("high", priority=9))
        assert "high" in [lease.task_id for _ in range(STAY * COUNT) for lease in claimed(backend)]


def test_an_empty_claim_needs_no_lock(directory: Path) -> None:
    with opened(directory, lock_timeout=0) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])
        for lease in claimed(backend, 8):
            backend.apply([ack(lease)])
        let_it_age(directory)
        claimed(backend)
        with locked(directory, *range(COUNT)):
            assert claimed(backend) == []
        with opened(directory) as other, locked(directory, *range(4)):
            stored(other, put("new", group=IDS[6]))
            assert ids(claimed(backend)) == ["new"]


def let_it_age(directory: Path) -> None:
    """Let the last change of names be so long ago that it can be told from one that comes."""
    while time.time() - directory.stat().st_ctime < 0.2:
        time.sleep(0.02)


def test_what_another_process_put_is_claimed_at_once(directory: Path) -> None:
    with opened(directory) as backend, opened(directory) as other:
        for number in range(200):
            stored(other, put(f"t{number}"))
            assert ids(claimed(backend)) == [f"t{number}"]


def test_no_wake_up_is_lost_between_two_openers(directory: Path) -> None:
    rounds = 300

    def echo(broker: Broker) -> None:
        for _ in range(rounds):
            lease = wait_for(broker, "ping")
            stored(broker, put(lease, queue="pong"))

    with opened(directory) as backend, opened(directory) as other:
        thread = threading.Thread(target=echo, args=(other,))
        thread.start()
        for number in range(rounds):
            stored(backend, put(f"t{number}", queue="ping"))
            assert wait_for(backend, "pong") == f"t{number}"
        thread.join(30)
        assert not thread.is_alive()


def wait_for(broker: Broker, queue: str) -> str:
    """Take one task, waiting for it for no more than the bell needs; return its id."""
    while True:
        answer = broker.apply([claim(queue=queue)])[0]
        taken = expect(answer, Claimed)
        if taken.leases:
            return taken.leases[0].task_id
        assert broker.wait(queue, taken.seen, 4.0).version != taken.seen.version, "nobody rang"


def test_a_due_task_of_any_shard_wakes(directory: Path) -> None:
    with opened(directory) as backend:
        stored(backend, *[put(task_id, delay=600.0 + number) for number, task_id in enumerate(IDS)])
        record = min(task.until for task in browsed(backend) if task.until is not None)
        assert expect(backend.apply([claim()])[0], Claimed).seen.wake_at == record


def test_a_busy_shard_refuses_its_part_when_others_are_stored(directory: Path) -> None:
    with opened(directory, lock_timeout=0) as backend, locked(directory, 3):
        outcomes = backend.apply([put(task_id) for task_id in IDS])
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [Stored] * 3 + [ShardUnavailable] + [Stored] * 4
        assert "nothing was stored" in str(outcomes[3])
        with pytest.raises(StoreBusy):
            backend.apply([put(IDS[3])])
    with opened(directory) as backend:
        assert ids(browsed(backend)) == sorted(IDS[:3] + IDS[4:])


def test_a_broker_process_that_comes_in_the_middle_of_a_call_gets_the_rest(directory: Path) -> None:
    lock_file = f"{shard(directory, 3)}.lock"
    with opened(directory) as backend:
        lock = StoreLock(lock_file, 1.0)
        with lock:
            lock.hold("/nowhere/socket")
        with pytest.raises(StoreServed) as served:
            backend.apply([put(task_id) for task_id in IDS])
        assert served.value.address == "/nowhere/socket"
        outcomes = served.value.outcomes
        assert [type(outcome) for outcome in outcomes[:3]] == [Stored] * 3
        assert outcomes[3:] == [None] * 5
        lock.let_go()
        lock.close()


def test_the_door_carries_out_only_the_rest(directory: Path) -> None:
    """A task is redriven once: to be asked again would be to be told that it is not dead."""
    with opened(directory) as backend, opened(directory) as second:
        lock = StoreLock(f"{shard(directory, 1)}.lock", 1.0)
        stored(backend, put(IDS[0]), put(IDS[1]))
        for lease in claimed(backend, 2):
            expect(backend.apply([Reject(queue=QUEUE, receipt=lease.receipt)])[0], Settled)

        def open_again() -> Broker:
            lock.let_go()
            return second

        ways = iter([lambda: backend, open_again])
        door = Door(lambda: next(ways)())
        with lock:
            lock.hold("/nowhere/socket")
        outcomes = door.apply([Redrive(queue=QUEUE, task_id=task_id) for task_id in IDS[:2]])
        assert [expect(outcome, Redriven).count for outcome in outcomes] == [1, 1]
        lock.close()


def test_a_high_priority_behind_a_known_low_one_is_not_passed_over_for_ever(directory: Path) -> None:
    with opened(directory) as backend, opened(directory) as other:
        names = [f"middle-{n}" for n in range(400)]
        stored(backend, *[put(each, priority=1) for each in names if shard_of(each, COUNT) == 0])
        stored(backend, put(IDS[1]))
        stored(other, put(_in_shard(1), priority=31))
        assert _in_shard(1) in [lease.task_id for _ in range(STAY * COUNT) for lease in claimed(backend)]


def _in_shard(number: int) -> str:
    return next(each for each in (f"high-{n}" for n in range(999)) if shard_of(each, COUNT) == number)
