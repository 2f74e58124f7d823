"""A write that a crash cut short was acknowledged to nobody: it is cut off, kept aside, and work goes on."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from distqueue.errors import StoreDamaged
from distqueue.results import Settled
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.json.format import CLOSE

from .support import ack, beside, claimed, compact, expect, fsck, opened, put, ready_ids, state_of, stored

pytestmark = pytest.mark.slow

type State = dict[str, Any]


@pytest.fixture
def store(shm: Path) -> Path:
    """A store with a few commits, of which the last has two tasks, one with every option."""
    path = shm / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"), put("b"))
        expect(backend.apply([ack(claimed(backend)[0])])[0], Settled)
    with opened(path) as backend:
        options: dict[str, Any] = {
            "priority": 3,
            "group": "g",
            "unique": "ü",
            "headers": {"a": "b"},
            "expires_in": 3600,
        }
        stored(backend, put("c", {"text": "line\nbreak"}, **options), put("d"))
    return path


def last_commit(path: Path) -> tuple[bytes, int, int]:
    """Return the bytes of a store without the blanks, and where its last line begins and ends."""
    data = path.read_bytes().rstrip(b" ")
    assert data.endswith(CLOSE)
    end = len(data) - len(CLOSE)
    return data, data.rindex(b",\n", 0, end), end


def state_before_and_after(path: Path) -> tuple[State, State]:
    """Return what the store holds without its last commit, and with it."""
    data, begin, _ = last_commit(path)
    with opened(path) as backend:
        after = state_of(backend)
    copy = path.with_name("before.json")
    copy.write_bytes(data[:begin] + CLOSE)
    with opened(copy) as backend:
        return state_of(backend), after


def recovers_to(path: Path, state: State) -> None:
    """Check that a store opens as it was, works on, and is sound afterwards."""
    with opened(path) as backend:
        assert state_of(backend) == state
        json.loads(path.read_bytes())
        stored(backend, put("next"))
    with opened(path) as backend:
        assert "next" in [task["task_id"] for task in state_of(backend)["q"]["tasks"]]
    assert fsck(path).is_sound


def test_whatever_is_left_of_the_last_commit_the_ones_before_are_there(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, begin, end = last_commit(store)
    before, after = state_before_and_after(store)
    caplog.set_level(logging.CRITICAL)
    for cut in range(begin, len(data) + 1):
        directory = store.parent / str(cut)
        directory.mkdir()
        path = directory / "Queue.json"
        path.write_bytes(data[:cut])
        recovers_to(path, after if cut >= end else before)
        kept = b"".join(aside.read_bytes() for aside in beside(path, "torn"))
        assert kept == (data[end:cut] if cut >= end else data[begin:cut]).removesuffix(CLOSE)
        shutil.rmtree(directory)


def test_what_was_cut_off_is_reported(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, begin, _ = last_commit(store)
    store.write_bytes(data[: begin + 40])
    with opened(store):
        pass
    (record,) = caplog.records
    (aside,) = beside(store, "torn")
    assert "torn tail of 40 bytes" in record.getMessage()
    assert str(aside) in record.getMessage()
    assert aside.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", [0, 1, 2, 30, -5, -1])
@pytest.mark.parametrize("filler", [b"\x00" * 700, b"\x00" * 5000, b"\xff\n]}\n{" * 300, b"{}\n" * 100])
def test_a_tail_of_zeros_or_garbage_is_cut(store: Path, kept: int, filler: bytes) -> None:
    data, begin, end = last_commit(store)
    before, _ = state_before_and_after(store)
    cut = begin + kept if kept >= 0 else end + kept
    store.write_bytes(data[:cut] + filler)
    recovers_to(store, before)


@pytest.mark.parametrize(
    "tail", [b"x", b"\x00" * 100, b" \n", b"     {", b"\n]}", b',\n{"crc":"00000000"}\n]}']
)
@pytest.mark.parametrize("blanks", [0, 5000])
def test_whatever_stands_behind_the_closing_brackets_is_cut(store: Path, tail: bytes, blanks: int) -> None:
    data, _, _ = last_commit(store)
    _, after = state_before_and_after(store)
    store.write_bytes(data + b" " * blanks + tail + b" " * blanks)
    recovers_to(store, after)


@pytest.mark.parametrize(
    "brackets", [b"", b"\n", b"\n]", b"]}", b"\n}]", b",\n]}", b",", b"\x00\x00\x00", b"   ", b"xyz"]
)
def test_closing_brackets_that_are_missing_are_written_again(store: Path, brackets: bytes) -> None:
    data, _, end = last_commit(store)
    _, after = state_before_and_after(store)
    store.write_bytes(data[:end] + brackets + b" " * 300)
    recovers_to(store, after)


def test_a_store_that_lost_all_but_its_header_is_empty(store: Path) -> None:
    header = store.read_bytes().partition(b"\n")[0]
    store.write_bytes(header)
    recovers_to(store, {})


def test_others_that_have_the_store_open_cut_a_torn_tail_too(store: Path) -> None:
    with opened(store) as backend:
        state = state_of(backend)
        _, _, end = last_commit(store)
        with store.open("r+b") as file:  # as a process that is killed in the middle of its write leaves it
            file.seek(end)
            file.write(b',\n{"crc":"0badc0de","seq":')
        assert state_of(backend) == state
        assert len(beside(store, "torn")) == 1
        stored(backend, put("next"))
    assert fsck(store).is_sound


def test_recovering_twice_is_the_same_as_once(store: Path) -> None:
    data, begin, _ = last_commit(store)
    store.write_bytes(data[: begin + 60])
    with opened(store) as backend:
        once = state_of(backend)
    first = store.read_bytes()
    with opened(store) as backend:
        assert state_of(backend) == once
    assert store.read_bytes() == first
    assert len(beside(store, "torn")) == 1


def test_a_snapshot_that_is_not_whole_is_damage(shm: Path) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        for start in range(0, 2000, 500):
            backend.apply([put(f"t{n}") for n in range(start, start + 500)])
        compact(backend)
    data = path.read_bytes()
    lines = data.split(b"\n")
    path.write_bytes(b"\n".join(lines[:3])[: -len(b",")] + CLOSE)
    before = path.read_bytes()
    with pytest.raises(StoreDamaged, match="snapshot"):
        JsonBackend(str(path))
    assert path.read_bytes() == before
    assert not fsck(path).is_sound


def test_a_file_that_is_cut_short_while_it_is_open_is_not_written_on(shm: Path) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        backend.apply([put("a"), put("b")])
        os.truncate(path, 0)
        with pytest.raises(StoreDamaged, match="cut short"):
            backend.apply([put("c")])
        assert path.read_bytes() == b""


def test_an_end_that_is_missing_is_told_of(shm: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        backend.apply([put("a")])
        end = backend._file.end
    os.truncate(path, end)
    with opened(path) as backend:
        assert ready_ids(backend) == ["a"]
    assert "closing brackets" in caplog.text
