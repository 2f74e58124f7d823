"""System calls that fail, each at every place, once and for good: nothing acknowledged is lost by it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from distqueue.commands import Browse
from distqueue.results import Browsed

from .scenarios import SCENARIOS, StillClock
from .support import beside, claimed, expect, fsck, ids, opened, put, ready_ids, state_of, stored
from .tracing import Nursery, Run

pytestmark = pytest.mark.slow

CALLS = ["openat", "pread64", "pwrite64", "write", "lseek", "fsync", "fdatasync", "rename", "ftruncate"]
PUTS = {"session": ["a b", "c", "", "d", "", "big", ""], "compaction": ["before", "during", "after"]}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def known_ids(path: Path) -> set[str]:
    """Open a store, which has to be whole and to work, and return the ids that it knows."""
    with opened(path) as backend:
        state = state_of(backend)
        stored(backend, put("new"))
        assert not beside(path, "tmp")
    with opened(path) as backend:
        assert ready_ids(backend)[-1] == "new"
    assert fsck(path).is_sound
    assert (path.parent / "Queue.json.lock").read_bytes() == b""
    queue = state.get("q", {"tasks": [], "remembered": []})
    return {each["task_id"] for each in [*queue["tasks"], *queue["remembered"]]}


def check(run: Run, name: str, path: Path) -> None:
    """Check that only errors of ours were seen, and that the store has what was acknowledged."""
    assert run.code == 0, run.notes
    outcomes = run.notes[1:] if run.notes[:1] == ["opened"] else []
    errors = {"ok", "OutcomeUnknown", "StoreFailed", "StoreFull", "StoreError"}
    assert {note for note in outcomes if not note.startswith("raised")} <= errors | {"LeaseLost"}, run.notes
    known = known_ids(path)
    for outcome, puts in zip(outcomes, PUTS[name], strict=False):
        if outcome == "ok":
            assert set(puts.split()) <= known, (run.notes, known)
        elif outcome in ("StoreFailed", "StoreFull", "StoreError"):
            assert not set(puts.split()) & known, (run.notes, known)


@pytest.mark.parametrize("when", ["{}", "{}+"], ids=["once", "for good"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["session", "compaction"])
def test_a_call_that_fails_costs_nothing_that_was_acknowledged(
    nursery: Nursery, tmp_path: Path, name: str, call: str, when: str
) -> None:
    for number in range(1, 100):
        path = tmp_path / str(number) / "Queue.json"
        path.parent.mkdir()
        fault = f"inject={call}:error=EIO:when={when.format(number)}"
        run = nursery.run(name, path, f"trace={call}", fault)
        check(run, name, path)
        if not any("(INJECTED)" in line for line in run.trace):
            return
    pytest.fail(f"{name} calls {call} without end")


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EFBIG"])
@pytest.mark.parametrize(("call", "name"), [("pwrite64", "session"), ("write", "compaction")])
def test_no_room_is_a_refusal_at_every_write(
    nursery: Nursery, tmp_path: Path, name: str, call: str, error: str
) -> None:
    for number in range(1, 100):
        path = tmp_path / str(number) / "Queue.json"
        path.parent.mkdir()
        run = nursery.run(name, path, f"trace={call}", f"inject={call}:error={error}:when={number}")
        check(run, name, path)
        assert not {"OutcomeUnknown", "StoreFailed"} & set(run.notes), run.notes
        if not any("(INJECTED)" in line for line in run.trace):
            return


@pytest.mark.parametrize("number", range(1, 7))
def test_a_failed_sync_is_final_until_the_store_is_opened_again(
    nursery: Nursery, tmp_path: Path, number: int
) -> None:
    path = tmp_path / "Queue.json"
    run = nursery.run("session", path, "trace=fdatasync", f"inject=fdatasync:error=EIO:when={number}")
    failed = run.notes.index("OutcomeUnknown") - 1
    assert run.notes == ["opened", *["ok"] * failed, "OutcomeUnknown", *["StoreFailed"] * (6 - failed)]
    inode = path.stat().st_ino
    assert (tmp_path / "Queue.json.lock").read_bytes() == b"failed\n"
    with opened(path) as backend:
        backend.clock = StillClock()
        state = state_of(backend)
        assert path.stat().st_ino != inode
        assert backend.facts()["epoch"] == 2
        assert (tmp_path / "Queue.json.lock").read_bytes() == b""
    with opened(tmp_path / "undisturbed.json") as backend:
        backend.clock = StillClock()
        for step in SCENARIOS["session"][:failed]:
            step(backend)
        before = state_of(backend)
        SCENARIOS["session"][failed](backend)
        assert state in (before, state_of(backend))


def test_others_that_have_it_open_recover_it_after_a_failed_sync(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as one, opened(path) as other:
        stored(one, put("mine"))
        state_of(other)
        run = nursery.run("compaction", path, "trace=fdatasync", "inject=fdatasync:error=EIO:when=1")
        assert run.notes[1] == "OutcomeUnknown"
        assert "mine" in ready_ids(other)
        stored(one, put("more"))
        assert state_of(one) == state_of(other)
        assert one.facts()["epoch"] == 2
    assert (tmp_path / "Queue.json.lock").read_bytes() == b""


def test_a_directory_that_cannot_be_synced_makes_it_uncertain(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with opened(path):
        pass
    run = nursery.run("compaction", path, "trace=fsync", "inject=fsync:error=EIO:when=3")
    assert run.notes == ["opened", "ok", "OutcomeUnknown", "StoreFailed"]
    assert (tmp_path / "Queue.json.lock").read_bytes() == b"failed\n"
    assert {"before"} <= known_ids(path)


def test_a_new_file_that_cannot_be_synced_leaves_the_old_one(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with opened(path):
        pass
    inode = path.stat().st_ino
    run = nursery.run("compaction", path, "trace=fsync", "inject=fsync:error=EIO:when=2")
    assert run.notes == ["opened", "ok", "ok", "ok"]
    assert path.stat().st_ino == inode
    assert not beside(path, "tmp")
    assert {"before", "during", "after"} <= known_ids(path)


@pytest.mark.parametrize("call", ["pwrite64", "write"])
@pytest.mark.parametrize("name", ["session", "compaction"])
def test_a_write_that_wrote_nothing_is_done_again(
    nursery: Nursery, tmp_path: Path, name: str, call: str
) -> None:
    for number in range(1, 100):
        path = tmp_path / str(number) / "Queue.json"
        path.parent.mkdir()
        run = nursery.run(name, path, f"trace={call}", f"inject={call}:retval=0:when={number}")
        assert set(run.notes[1:]) == {"ok"}, run.notes
        known_ids(path)
        if not any("(INJECTED)" in line for line in run.trace):
            return


def few(call: Callable[..., int]) -> Callable[..., int]:
    """Return a call that writes less than it is asked to, as it may."""
    return lambda fd, data, *rest: call(fd, bytes(data)[:1000], *rest)


def test_short_writes_and_reads_are_gone_on_with(shm: Path) -> None:
    path = shm / "Queue.json"
    short_read = os.pread
    with (
        patch("os.pwrite", few(os.pwrite)),
        patch("os.write", few(os.write)),
        patch("os.pread", lambda fd, size, offset: short_read(fd, min(size, 500), offset)),
    ):
        with opened(path) as backend:
            for step in SCENARIOS["compaction"]:
                step(backend)
            stored(backend, put("long", "x" * 3000))
        with opened(path) as backend:
            assert ids(claimed(backend, 9)) == ["before", "during", "after", "long"]
        with path.open("ab") as file:
            file.write(b"garbage" * 500)
        assert not fsck(path).is_sound
        with opened(path) as backend:
            assert expect(backend.apply([Browse(queue="q")])[0], Browsed).tasks
        (aside,) = beside(path, "torn")
        assert aside.read_bytes().lstrip(b" ") == b"garbage" * 500
