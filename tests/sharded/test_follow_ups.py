"""An ack and its follow-up tasks in other shards: all or nothing, whenever a process is killed."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distqueue import AlreadySettled, GroupPriorityMismatch, InvalidTask, PayloadMismatch, ShardUnavailable
from distqueue.commands import Ack, Put, Release, Stats
from distqueue.results import Lease, Settled, Stored
from distqueue.task import TaskState
from distqueue_backends.sharded.backend import ShardedBackend
from distqueue_backends.sharded.outbox import OUTBOX
from distqueue_backends.sharded.routing import shard_of
from tests.json.tracing import Nursery, need_strace

from .support import (
    COUNT,
    IDS,
    QUEUE,
    ack,
    browsed,
    claimed,
    counted,
    damage,
    expect,
    found,
    ids,
    opened,
    put,
    shard,
    stored,
)

THEN = list("abcd")
CALLS = ["pwrite64", "fdatasync", "flock"]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Runs scenarios with faults in their system calls."""
    need_strace()
    nursery = Nursery(tmp_path_factory.mktemp("nursery") / "notes")
    yield nursery
    nursery.close()


def leased(backend: ShardedBackend, task_id: str = "first") -> Lease:
    """Put a task and claim it."""
    stored(backend, put(task_id))
    (lease,) = claimed(backend)
    return lease


def then(settled: object) -> list[tuple[str, bool]]:
    """Return what was said of the follow-up tasks."""
    assert isinstance(settled, Settled), settled
    return [(each.task_id, each.duplicate) for each in settled.then]


def test_follow_ups_are_in_their_shards_when_the_ack_is_answered(directory: Path) -> None:
    assert len({shard_of(each, COUNT) for each in ["first", *THEN]}) > 3
    with opened(directory) as backend, opened(directory) as other:
        command = ack(leased(backend), *[put(each, each) for each in THEN])
        assert then(backend.apply([command])[0]) == [(each, False) for each in THEN]
        for each in THEN:
            assert f'"{each}"' in shard(directory, shard_of(each, COUNT)).read_text()
        assert ids(browsed(other)) == THEN
        assert then(other.apply([command])[0]) == [(each, True) for each in THEN]  # the answer was lost
        assert then(backend.apply([command])[0]) == [(each, True) for each in THEN]
        assert [expect(each, Stored).duplicate for each in other.apply([put(x, x) for x in THEN])] == [
            True
        ] * 4
        assert {lease.task_id: lease.data for lease in claimed(other, 9)} == {
            x: f'"{x}"'.encode() for x in THEN
        }


def test_their_options_go_with_them(directory: Path) -> None:
    options: dict[str, Any] = {
        "priority": 7,
        "headers": {"h": "ä"},
        "publisher_id": "p",
        "max_attempts": None,
    }
    with opened(directory) as backend:
        follow_ups = [
            put("grouped", group="customer-17", **options),
            put("later", delay=600.0),
            put("due", due=2e9),
            put("expiring", expires_in=600.0, keep_done=5.0),
        ]
        expect(backend.apply([ack(leased(backend), *follow_ups)])[0], Settled)
        tasks = {task.task_id: task for task in browsed(backend)}
        grouped = tasks["grouped"]
        assert {name: getattr(grouped, name) for name in options} == options
        assert grouped.group == "customer-17"
        later, due, expiring = tasks["later"], tasks["due"], tasks["expiring"]
        assert later.state is due.state is TaskState.SCHEDULED
        assert later.until == pytest.approx(later.put_at + 600.0, abs=5.0)
        assert due.until == 2e9
        assert expiring.expires_at == pytest.approx(expiring.put_at + 600.0, abs=5.0)
        assert expiring.keep_done == 5.0


def test_what_can_be_refused_is_refused_before_the_ack(directory: Path) -> None:
    with opened(directory) as backend, opened(directory) as other:
        lease = leased(backend)
        stored(other, put("a", "else"), put("g1", group="g", priority=3))
        for bad, error in (
            (put("a", "mine"), PayloadMismatch),
            (put("g2", group="g", priority=4), GroupPriorityMismatch),
            (put("two words"), InvalidTask),
            (put("b", queue=OUTBOX), InvalidTask),
        ):
            outcome = backend.apply([ack(lease, put("c"), bad)])[0]
            assert isinstance(outcome, error), outcome
        assert ids(browsed(backend)) == ["a", "first", "g1"]
        expect(backend.apply([Release(queue=QUEUE, receipt=lease.receipt)])[0], Settled)
        assert isinstance(backend.apply([ack(lease, put("c"))])[0], AlreadySettled)
        assert found(backend, "c") is None


def test_a_damaged_shard_keeps_the_ack_back(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with opened(directory) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])
        stored(backend, *[put(f"more-{task_id}", group=task_id) for task_id in IDS])
    damage(shard(directory, 3))
    with opened(directory) as backend:
        lease = next(lease for lease in claimed(backend, 20) if lease.task_id == IDS[0])
        refused = backend.apply([ack(lease, put("new", group=IDS[3]))])[0]
        assert isinstance(refused, ShardUnavailable)
        assert str(shard(directory, 3)) in str(refused)
        assert then(backend.apply([ack(lease, put("new", group=IDS[4]))])[0]) == [("new", False)]


def test_nobody_sees_the_outbox(directory: Path) -> None:
    with opened(directory) as backend:
        expect(backend.apply([ack(leased(backend), *[put(each) for each in THEN])])[0], Settled)
        assert [each.queue for each in counted(backend).queues] == [QUEUE]
        assert isinstance(backend.apply([Stats(queue=OUTBOX)])[0], InvalidTask)
        assert isinstance(backend.apply([Put(queue=OUTBOX, task_id="x", data=b"1")])[0], InvalidTask)


def killed_runs(nursery: Nursery, directory: Path, call: str) -> Iterator[tuple[Path, bool]]:
    """Yield the store after a kill at each call of one kind, and whether the ack was answered."""
    for number in range(1, 200):
        path = directory / f"{call}-{number}.d"
        with opened(path) as backend:
            leased(backend)
        run = nursery.run("follow-ups", path, f"trace={call}", f"inject={call}:signal=KILL:when={number}")
        if not run.was_killed:
            assert (run.code, run.notes) == (0, ["opened", "ok"])
            return
        yield path, "ok" in run.notes
    pytest.fail(f"an ack calls {call} without end")


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_a_kill_leaves_the_ack_with_all_of_them_or_nothing(
    nursery: Nursery, tmp_path: Path, call: str
) -> None:
    seen: set[bool] = set()
    left_behind = 0
    for path, was_answered in killed_runs(nursery, tmp_path, call):
        left_behind += any(
            b'"op":"put","queue":"*outbox*"' in file.read_bytes() for file in path.glob("shard-*")
        )
        with opened(path) as backend:
            names = ids(browsed(backend))
            assert names in (["first"], THEN), path
            assert names == THEN or not was_answered
            seen.add(names == THEN)
            answer = backend.apply([Ack(queue=QUEUE, receipt="1.t.first", then=tuple(put(x) for x in THEN))])[
                0
            ]
            if names == ["first"]:
                assert then(answer) == [(each, False) for each in THEN]
            assert sorted(lease.task_id for lease in claimed(backend, 9)) == THEN
    assert seen == ({True} if call == "fdatasync" else {True, False})  # before a sync it is written
    assert left_behind > 2


@contextmanager
def left_behind(nursery: Nursery, directory: Path) -> Iterator[ShardedBackend]:
    """Open a store, in which then a process is killed that has stored an ack and sent nothing on."""
    for number in range(1, 50):
        path = directory / f"{number}.d"
        with opened(path) as onlooker:
            leased(onlooker)
            nursery.run("follow-ups", path, "trace=pwrite64", f"inject=pwrite64:signal=KILL:when={number}")
            is_acked = b'"op":"ack"' in shard(path, shard_of("first", COUNT)).read_bytes()
            if is_acked and b'"a"' not in shard(path, shard_of("a", COUNT)).read_bytes():
                yield onlooker
                return
    pytest.fail("nothing was ever left behind")


@pytest.mark.slow
def test_what_somebody_is_sending_on_is_left_to_him_while_he_lives(nursery: Nursery, tmp_path: Path) -> None:
    with left_behind(nursery, tmp_path) as onlooker:
        fd = os.open(f"{onlooker.path}/manifest.json.lock", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        local = [each for each in THEN if shard_of(each, COUNT) == shard_of("first", COUNT)]
        assert ids(claimed(onlooker, 9)) + ids(claimed(onlooker, 9)) == local
        os.close(fd)
        rest = ids(claimed(onlooker, 9)) + ids(claimed(onlooker, 9))
        assert sorted(local + rest) == THEN
        assert rest


@pytest.mark.slow
def test_what_is_refused_after_the_ack_is_a_dead_task(nursery: Nursery, tmp_path: Path) -> None:
    with left_behind(nursery, tmp_path) as onlooker:
        stored(onlooker, put("a", "another's"))
        assert sorted(ids(claimed(onlooker, 9)) + ids(claimed(onlooker, 9))) == THEN
        tasks = browsed(onlooker)
        (dead,) = [task for task in tasks if task.state is TaskState.DEAD]
        assert bytes(dead.data) == put_by_the_scenario("a")
        assert dead.error is not None
        assert "followed an ack" in dead.error
        assert "task a was published before with another payload" in dead.error
        assert dead.task_id != "a"


def put_by_the_scenario(task_id: str) -> bytes:
    """The payload of a follow-up task."""
    return f'"{task_id * 10}"'.encode()


@pytest.mark.slow
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_process_that_only_claims_sends_on_what_was_left_behind(
    nursery: Nursery, tmp_path: Path, call: str
) -> None:
    came = 0
    for number in range(1, 200):
        path = tmp_path / f"{call}-{number}.d"
        with opened(path) as onlooker:
            leased(onlooker)
            run = nursery.run("follow-ups", path, f"trace={call}", f"inject={call}:signal=KILL:when={number}")
            taken = ids(claimed(onlooker, 9)) + ids(claimed(onlooker, 9))
            assert sorted(taken) in ([], THEN), path
            came += bool(taken)
        if not run.was_killed:
            break
    assert came > 3


@pytest.mark.slow
def test_a_failed_sync_is_recovered_from_with_all_of_them_or_nothing(
    nursery: Nursery, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    seen: set[str] = set()
    for number in range(1, 50):
        path = tmp_path / f"{number}.d"
        with opened(path) as backend:
            leased(backend)
        run = nursery.run("follow-ups", path, "trace=fdatasync", f"inject=fdatasync:error=EIO:when={number}")
        assert run.code == 0, run.notes
        seen.add(run.notes[-1])
        with opened(path) as backend:
            names = ids(browsed(backend))
            assert names == THEN or (names == ["first"] and run.notes[-1] != "ok")
        if not any("INJECTED" in line for line in run.trace):
            break
    assert seen == {"ok", "OutcomeUnknown"}


HOLDS = """
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
print("ready", flush=True)
while True:
    fcntl.flock(fd, fcntl.LOCK_EX)
    time.sleep(0.02)
    fcntl.flock(fd, fcntl.LOCK_UN)
    time.sleep(0.001)
"""


def test_follow_up_tasks_are_there_when_the_ack_is_answered_whoever_else_sends_some(directory: Path) -> None:
    """The lock of the store is nearly always somebody else's, so that nobody finds leftovers meanwhile."""
    with opened(directory) as backend, opened(directory) as other:
        stored(backend, *[put(f"first-{n}") for n in range(8)])
        command = [sys.executable, "-c", HOLDS, str(directory / "manifest.json.lock")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "ready\n"
                for number, lease in enumerate(claimed(backend, 8)):
                    then = [put(f"then-{number}-{name}") for name in THEN]
                    expect(backend.apply([ack(lease, *then)])[0], Settled)
                    assert all(found(other, each.task_id) for each in then)
            finally:
                holder.kill()
