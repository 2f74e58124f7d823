"""SIGKILL at every system call that changes something: what was acknowledged is there, whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .scenarios import SCENARIOS, StillClock
from .support import beside, fsck, opened, put, state_of, stored
from .tracing import Nursery

pytestmark = pytest.mark.slow

CALLS = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "ftruncate",
    "unlink",
    "flock",
    "utimensat",
]

type State = dict[str, Any]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def state_after(path: Path) -> State:
    """Open a store, which has to be whole, and return what it holds."""
    with opened(path) as backend:
        backend.clock = StillClock()
        state = state_of(backend)
        json.loads(path.read_bytes())
        assert not beside(path, "tmp")
    assert fsck(path).is_sound
    return state


def states_of(name: str, path: Path) -> list[State]:
    """Return what the store holds after each step of a scenario that nothing disturbs."""
    with opened(path) as backend:
        backend.clock = StillClock()
        states = [state_of(backend)]
        for step in SCENARIOS[name]:
            step(backend)
            states.append(state_of(backend))
    return states


def killed_runs(
    nursery: Nursery, name: str, directory: Path, call: str, prepare: Any
) -> Iterator[tuple[Path, int]]:
    """Yield the store after a kill at each call of one kind, with the number of acknowledged steps."""
    for number in range(1, 200):
        path = directory / f"{call}-{number}" / "Queue.json"
        path.parent.mkdir()
        prepare(path)
        run = nursery.run(name, path, f"trace={call}", f"inject={call}:signal=KILL:when={number}")
        if not run.was_killed:
            assert run.code == 0, run.notes
            return
        yield path, sum(note == "ok" for note in run.notes)
    pytest.fail(f"{name} calls {call} without end")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["session", "compaction"])
def test_a_kill_loses_nothing_that_was_acknowledged(
    nursery: Nursery, tmp_path: Path, name: str, call: str
) -> None:
    states = states_of(name, tmp_path / "undisturbed.json")
    for path, acknowledged in killed_runs(nursery, name, tmp_path, call, lambda path: None):
        state = state_after(path)
        assert state in states[acknowledged : acknowledged + 2], (path, acknowledged)
        with opened(path) as backend:
            stored(backend, put("new"))


def torn(path: Path) -> None:
    with opened(path) as backend:
        backend.clock = StillClock()
        stored(backend, put("a"), put("b"))
        stored(backend, put("c"))
    data = path.read_bytes().rstrip(b" ")
    path.write_bytes(data[:-40])


def marked(path: Path) -> None:
    with opened(path) as backend:
        backend.clock = StillClock()
        stored(backend, put("a"), put("b"))
        backend._lock.mark_failed()


def damaged(path: Path) -> None:
    torn(path)
    data = path.read_bytes().rstrip(b" ") + b"\n]}"
    path.write_bytes(data.replace(b'"id":"a"', b'"id":"X"'))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("name", "prepare"), [("open", torn), ("open", marked), ("fsck", damaged)])
def test_a_kill_during_recovery_or_repair_is_recovered_from(
    nursery: Nursery, tmp_path: Path, name: str, call: str, prepare: Any
) -> None:
    whole = tmp_path / "Queue.json"
    prepare(whole)
    if name == "fsck":
        fsck(whole, repair=True)
    state = state_after(whole)
    for path, _ in killed_runs(nursery, name, tmp_path, call, prepare):
        if name == "fsck":
            fsck(path, repair=True)
        assert state_after(path) == state, path
        assert (path.parent / "Queue.json.lock").read_bytes() == b""
