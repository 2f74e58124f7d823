"""The lock: bounded, named, given up by whoever dies, and the same one for all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from distqueue.errors import Closed, StoreBusy, StoreError
from distqueue.urls import parse_url
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.json.options import JsonOptions

from .processes import running
from .support import claimed, fsck, ids, opened, put, ready_ids, stored


def test_a_stopped_process_that_holds_the_lock_makes_the_store_busy_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (holder,), opened(path, lock_timeout=0.2) as backend:
        assert holder.ask(lock=True) == "locked"
        holder.stop()
        before = path.read_bytes()
        begun = time.monotonic()
        with pytest.raises(StoreBusy, match=rf"process {holder.pid}\b.*0\.2 s; nothing was stored"):
            backend.apply([put("a")])
        assert time.monotonic() - begun >= 0.2
        assert path.read_bytes() == before
        with pytest.raises(StoreBusy, match="lock_timeout"), opened(path, lock_timeout=0.05):
            pass
        holder.go_on()
        holder.apply(put("b"))
        stored(backend, put("a"))
        assert ready_ids(backend) == ["b", "a"]


def test_a_killed_process_gives_up_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (holder,), opened(path) as backend:
        holder.ask(lock=True)
        holder.kill()
        stored(backend, put("a"))


def test_a_process_started_while_the_lock_is_held_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (holder,), opened(path) as backend:
        holder.ask(lock=True)
        holder.tell(apply=[put("first")])  # it takes the lock again, and gives it up at the end
        stored(backend, put("second"))
        holder.hear()
        assert sorted(ready_ids(backend)) == ["first", "second"]


def test_examining_a_store_waits_for_the_lock_too(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with running(path) as (holder,):
        holder.ask(lock=True)
        with pytest.raises(StoreBusy, match=f"process {holder.pid}"):
            JsonBackend.fsck(parse_url(f"json:///{path}"), JsonOptions(lock_timeout=0.05), repair=False)


def test_a_lock_file_that_is_removed_is_replaced_by_one_for_all(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as one, opened(path, lock_timeout=0.05) as other:
        stored(one, put("a"))
        lock = tmp_path / "Queue.json.lock"
        lock.unlink()
        stored(one, put("b"))
        assert lock.stat().st_mode & 0o777 == 0o600
        stored(other, put("c"))
        one._lock.acquire()
        with pytest.raises(StoreBusy):
            other.apply([put("d")])
        one._lock.release()
        assert ids(claimed(other, 5)) == ["a", "b", "c"]
        assert ready_ids(one) == []


def test_something_else_in_the_place_of_a_removed_lock_file_is_refused_again_and_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as backend:
        lock = tmp_path / "Queue.json.lock"
        lock.unlink()
        lock.symlink_to(tmp_path / "target")
        for _ in range(2):
            with pytest.raises(StoreError, match="lock file"):
                backend.apply([put("a")])
        assert not (tmp_path / "target").exists()
        lock.unlink()
        stored(backend, put("a"))
    assert fsck(path).is_sound


@pytest.mark.parametrize("content", [b"failed!\n", b"x" * 100, b'{"distqueue":'])
def test_a_lock_file_with_something_in_it_is_somebody_elses(tmp_path: Path, content: bytes) -> None:
    lock = tmp_path / "Queue.json.lock"
    lock.write_bytes(content)
    with pytest.raises(StoreError, match="move it out of the way"), opened(tmp_path / "Queue.json"):
        pass
    assert lock.read_bytes() == content


def test_the_lock_of_a_parent_does_not_live_on_in_its_child(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    read, write = os.pipe()
    with opened(path) as parent, opened(path, lock_timeout=0.05) as other:
        parent._lock.acquire()
        child = os.fork()
        if child == 0:
            os.read(read, 1)  # lives on until the test lets it end
            os._exit(0)
        try:
            with pytest.raises(StoreBusy):
                other.apply([put("a")])
            parent._lock.release()
            stored(other, put("a"))
            stored(parent, put("b"))
        finally:
            os.write(write, b"x")
            os.waitpid(child, 0)
            os.close(read)
            os.close(write)


def test_a_store_that_was_open_before_a_fork_is_closed_in_the_child_and_good_in_the_parent(
    tmp_path: Path,
) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"))
        if (child := os.fork()) == 0:
            os._exit(_is_closed_here(backend))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stored(backend, put("b"))
        assert ready_ids(backend) == ["a", "b"]


def _is_closed_here(backend: JsonBackend) -> int:
    """Return 0 if a store that a fork copied can be closed and not used, and can be opened again."""
    try:
        backend.apply([put("x")])
    except Closed:
        backend.close()
    else:
        return 1
    with opened(Path(backend.path)) as own:
        return 0 if ready_ids(own) == ["a"] else 2
