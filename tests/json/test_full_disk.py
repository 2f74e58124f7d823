"""A full disk refuses new tasks, each time, and loses nothing; what is there can still be worked off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distqueue.commands import Cancel, Extend, Find, Put, Release, Stats
from distqueue.errors import StoreFull
from distqueue.results import Claimed, Settled, Stored

from .processes import Process, running
from .support import ack, beside, claim, claimed, fsck, opened, put, ready_ids, stored

PIECE = 30_000


def big(task_id: str) -> Put:
    return put(task_id, "x" * PIECE)


def is_full(outcome: Any) -> bool:
    """Tell whether an outcome is the refusal that belongs here, and says what to do."""
    return bool(outcome.get("refused") == "StoreFull" and "Free some space" in outcome["message"])


def put_until_full(process: Process) -> list[str]:
    """Put tasks until one is refused; return the ids of those that are stored."""
    done: list[str] = []
    while len(done) < 1000:
        (outcome,) = process.apply(big(f"t{len(done)}"))
        if "refused" in outcome:
            assert is_full(outcome), outcome
            return done
        done.append(outcome["task_id"])
    pytest.fail("the disk does not fill")


def file_size_limit(process: Process, path: Path) -> None:
    """Let a process not make the store's file larger than it is, as on a full disk."""
    assert process.ask(limit=path.stat().st_size) == "limited"


def test_a_disk_that_is_full_to_the_last_byte_can_still_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (process,), opened(path) as watcher:
        stored(watcher, big("first"))
        file_size_limit(process, path)
        done = ["first", *put_until_full(process)]
        (taken,) = process.apply(claim(1, lease=2.0))
        for _ in range(5000):
            (extended,) = process.apply(Extend(queue="q", receipt=taken["leases"][0]["receipt"], lease=2.0))
            if is_full(extended):
                break
        else:
            pytest.fail("the reserve has no end")
        deadline = time.monotonic() + 20
        while (counts := process.apply(Stats(queue="q"))[0]["queues"][0])["ready"] != len(done):
            assert time.monotonic() < deadline, counts  # the lease runs out, and nobody can write that down
        (found,) = process.apply(Find(queue="q", task_id="first"))
        assert found["task"]["state"] == "ready"
        process.ask(limit=-1)
        (again,) = process.apply(claim(1))
        assert (again["leases"][0]["task_id"], again["leases"][0]["attempt"]) == ("first", 2)


def test_puts_are_refused_and_settling_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (process,), opened(path) as watcher:
        stored(watcher, big("first"))
        file_size_limit(process, path)
        done = ["first", *put_until_full(process)]
        before = path.read_bytes()
        for _ in range(3):
            assert is_full(process.apply(big("more"))[0])
        assert path.read_bytes() == before
        (taken,) = process.apply(claim(3))
        assert [lease["task_id"] for lease in taken["leases"]] == done[:3]
        assert process.apply(ack(taken["leases"][0]["receipt"]))[0]["result"] == "settled"
        assert (
            process.apply(Release(queue="q", receipt=taken["leases"][1]["receipt"]))[0]["result"] == "settled"
        )
        assert process.apply(Cancel(queue="q", task_id=done[2]))[0]["result"] == "removed"
        assert process.apply(Stats(queue="q"))[0]["queues"][0]["ready"] == len(done) - 2
        json.loads(path.read_bytes())
        assert ready_ids(watcher) == [done[1], *done[3:]]
    assert fsck(path).is_sound
    assert not beside(path, "torn")


def test_it_works_again_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (process,), opened(path) as watcher:
        stored(watcher, big("first"))
        file_size_limit(process, path)
        done = ["first", *put_until_full(process)]
        process.ask(limit=-1)
        assert process.apply(big("now"))[0]["result"] == "stored"
        assert ready_ids(watcher) == [*done, "now"]
    with opened(path) as backend:
        assert ready_ids(backend) == [*done, "now"]


def test_in_a_batch_only_what_needs_room_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (process,), opened(path) as watcher:
        stored(watcher, big("first"), big("second"))
        leases = claimed(watcher, 2)
        file_size_limit(process, path)
        put_until_full(process)
        stale = Release(queue="q", receipt="1.x.y")
        more = ack(leases[1], put("then"))
        outcomes = process.apply(big("a"), ack(leases[0]), put("small"), more, stale)
        assert [each.get("refused", each.get("result")) for each in outcomes] == [
            "StoreFull",
            "settled",
            "StoreFull",
            "StoreFull",
            "LeaseLost",
        ]
        assert watcher.apply([ack(leases[1])])[0] == Settled(task_id="second", state="done")  # type: ignore[arg-type]
        known = ready_ids(watcher)
        assert not {"a", "small", "then"} & set(known)


def test_a_batch_that_does_not_fit_is_refused_whole_and_a_smaller_one_stored(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (process,):
        file_size_limit(process, path)
        outcomes = process.apply(*[big(f"b{number}") for number in range(12)])
        assert all(is_full(outcome) for outcome in outcomes)
        assert process.apply(big("b0"))[0]["result"] == "stored"


def test_settling_goes_on_until_the_reserve_is_used_up_and_is_refused_then(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    count = 3000
    with running(path) as (process,), opened(path) as watcher:
        for begin in range(0, count, 500):
            stored(watcher, *[put(f"s{number}") for number in range(begin, begin + 500)])
        leases = claimed(watcher, count)
        file_size_limit(process, path)
        put_until_full(process)
        settled = 0
        for lease in leases:
            (outcome,) = process.apply(ack(lease))
            if "refused" in outcome:
                assert is_full(outcome)
                break
            settled += 1
        assert 200 < settled < count
        assert is_full(process.apply(ack(leases[settled]))[0])
        process.ask(limit=-1)
        assert process.apply(ack(leases[settled]))[0]["result"] == "settled"
        assert watcher.apply([ack(lease) for lease in leases[settled + 1 :]])
    assert fsck(path).is_sound


def test_a_store_cannot_be_made_where_there_is_no_room(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from distqueue_backends.json.backend import JsonBackend\n"
        "from distqueue.errors import StoreError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: JsonBackend(sys.argv[1])\n"
        "except StoreError as error: print(error)\n"
    )
    path = tmp_path / "Queue.json"
    said = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Queue.json cannot be opened: [Errno 27] File too large" in said.stdout
    assert [each.name for each in tmp_path.iterdir()] == ["Queue.json.lock"]


# --- A real file system that is full ------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_disk_that_fills_and_is_emptied(small_disk: Path) -> None:
    path = small_disk / "Queue.json"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    with opened(path) as backend:
        done: list[str] = []
        while True:
            (outcome,) = backend.apply([big(f"t{len(done)}")])
            if not isinstance(outcome, Stored):
                break
            done.append(outcome.task_id)
        assert isinstance(outcome, StoreFull)
        assert ready_ids(backend) == done
        (lease, *_) = claimed(backend, 2)
        assert isinstance(backend.apply([ack(lease)])[0], Settled)
        with opened(path) as other:
            assert ready_ids(other) == done[2:]
            assert isinstance(other.apply([big("no")])[0], StoreFull)
        ballast.unlink()
        stored(backend, big("yes"))
        json.loads(path.read_bytes())
    with opened(path) as backend:
        assert ready_ids(backend) == [*done[2:], "yes"]
    assert not beside(path, "torn")
    assert not beside(path, "tmp")


def test_a_full_disk_is_worked_off_until_there_is_room_again(small_disk: Path) -> None:
    path = small_disk / "Queue.json"
    with opened(path) as backend:
        count = 0
        while isinstance(backend.apply([put(f"t{count}", "x" * 5000)])[0], Stored):
            count += 1
        for _ in range(count):
            (outcome,) = backend.apply([claim()])
            assert isinstance(outcome, Claimed)
            assert isinstance(backend.apply([ack(outcome.leases[0])])[0], Settled)
        assert isinstance(backend.apply([put("again", "x" * 5000)])[0], Stored | StoreFull)
    with opened(path) as backend:
        assert len(ready_ids(backend)) <= 1


def test_a_torn_tail_that_cannot_be_kept_aside_is_not_cut(small_disk: Path) -> None:
    path = small_disk / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"))
    with path.open("ab") as file:
        file.write(b"garbage")
    size = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(b"x" * (size.f_bavail * size.f_bsize))
    before = path.read_bytes()
    with pytest.raises(Exception, match="have to be kept aside, but cannot be written"), opened(path):
        pass
    assert path.read_bytes() == before
    assert not beside(path, "torn")
    (small_disk / "ballast").unlink()
    with opened(path) as backend:
        assert ready_ids(backend) == ["a"]


def test_behind_a_large_commit_there_is_still_room_for_settling(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (process,), opened(path) as watcher:
        stored(watcher, *[big(f"t{number}") for number in range(20)])
        leases = claimed(watcher, 2)
        stored(watcher, *[big(f"more{number}") for number in range(20)])
        file_size_limit(process, path)
        outcomes = process.apply(*[big(f"late{number}") for number in range(20)], ack(leases[0]))
        assert all(is_full(outcome) for outcome in outcomes[:-1])
        assert outcomes[-1]["result"] == "settled"
        assert process.apply(ack(leases[1]))[0]["result"] == "settled"
    assert fsck(path).is_sound
