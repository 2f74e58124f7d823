"""Several that have one file open: each knows what the others did, whatever became of the file meanwhile."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest

from distqueue.commands import Cancel, Find, Purge
from distqueue.errors import StoreMissing, UnsupportedFormat
from distqueue.results import Found
from distqueue_backends.json import compaction
from distqueue_backends.json.backend import JsonBackend

from .support import (
    HandClock,
    ack,
    beside,
    claimed,
    compact,
    expect,
    ids,
    opened,
    put,
    ready_ids,
    state_of,
    stored,
)


@pytest.fixture
def path(shm: Path) -> Path:
    return shm / "Queue.json"


@pytest.fixture
def pair(path: Path) -> Iterator[tuple[JsonBackend, JsonBackend]]:
    """Two that have one store open."""
    clock = HandClock()
    with opened(path, clock) as one, opened(path, clock) as other:
        yield one, other


type Pair = tuple[JsonBackend, JsonBackend]


def data_of(backend: JsonBackend, task_id: str) -> object:
    task = expect(backend.apply([Find(queue="q", task_id=task_id)])[0], Found).task
    return None if task is None else json.loads(bytes(task.data))


def test_each_sees_what_the_other_did(pair: Pair) -> None:
    one, other = pair
    stored(one, put("a"), put("b"))
    (lease,) = claimed(other)
    assert lease.task_id == "a"
    assert ready_ids(one) == ["b"]
    one.apply([ack(lease)])
    stored(other, put("c"))
    assert state_of(one) == state_of(other)
    assert ids(claimed(one, 5)) == ["b", "c"]


def test_many_that_come_by_turns_know_the_same(path: Path) -> None:
    clock = HandClock()
    backends = [JsonBackend(str(path)) for _ in range(5)]
    try:
        for backend in backends:
            backend.clock = clock
        for turn in range(40):
            stored(backends[turn % 5], put(f"t{turn}"))
            if turn % 3 == 0:
                backends[(turn + 2) % 5].apply([ack(claimed(backends[(turn + 1) % 5])[0])])
        assert len({json.dumps(state_of(backend)) for backend in backends}) == 1
    finally:
        for backend in backends:
            backend.close()


def test_after_a_compaction_the_other_only_learns_where_the_payloads_are_now(pair: Pair) -> None:
    one, other = pair
    stored(one, put("a", "first"), put("b", "second"))
    state_of(other)
    compact(one)
    with patch.object(JsonBackend, "_load", side_effect=AssertionError("read everything again")):
        assert data_of(other, "b") == "second"
        stored(other, put("c", "third"))
    assert [data_of(one, name) for name in "abc"] == ["first", "second", "third"]
    assert state_of(one) == state_of(other)


def test_what_was_appended_before_the_compaction_and_not_seen_yet_is_learned_from_the_old_file(
    pair: Pair,
) -> None:
    one, other = pair
    stored(one, put("a"))
    state_of(other)
    stored(one, put("b"))
    compact(one, [put("c")])
    stored(one, put("d"))
    with patch.object(JsonBackend, "_load", side_effect=AssertionError("read everything again")):
        assert ready_ids(other) == ["a", "b", "c", "d"]
    assert state_of(one) == state_of(other)


@pytest.mark.parametrize("missed", [2, 5])
def test_whoever_missed_several_compactions_reads_everything_again(pair: Pair, missed: int) -> None:
    one, other = pair
    stored(one, put("a", "payload"), put("b"))
    state_of(other)
    for turn in range(missed):
        stored(one, put(f"t{turn}"))
        one.apply([Cancel(queue="q", task_id="b")])
        compact(one)
    assert state_of(other) == state_of(one)
    assert data_of(other, "a") == "payload"
    stored(other, put("new"))
    assert state_of(one) == state_of(other)


def test_by_turns_they_put_and_compact_and_claim(pair: Pair) -> None:
    one, other = pair
    for turn in range(12):
        stored(one, put(f"a{turn}", [turn] * 50), put(f"b{turn}"))
        compact(other)
        (lease,) = claimed(one)
        other.apply([ack(lease)])
        compact(one)
        assert state_of(one) == state_of(other)
        one, other = other, one


def test_compaction_keeps_the_store_and_counts_its_files(pair: Pair, path: Path) -> None:
    one, other = pair
    stored(one, put("a"))
    before = json.loads(path.read_bytes())["distqueue"]
    compact(one)
    after = json.loads(path.read_bytes())["distqueue"]
    assert after["store"] == before["store"]
    assert (after["epoch"], after["from_seq"], after["snapshot"]) == (2, 1, 2)
    assert beside(path, "tmp") == []
    state_of(other)
    assert other.facts()["epoch"] == 2


def test_a_compaction_that_finds_no_room_leaves_everything_as_it_is(
    pair: Pair, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = pair
    stored(one, put("a"))
    before = path.read_bytes()
    full = OSError(28, "No space left on device")
    with (
        patch.object(compaction, "is_worth_it", return_value=True),
        patch.object(compaction, "_write", side_effect=full),
        caplog.at_level(logging.WARNING, "distqueue"),
    ):
        one._next_check = 0
        stored(one, put("b"))
    assert "could not be compacted, and stays as it is" in caplog.text
    assert path.read_bytes().startswith(before.rstrip(b" ")[:-3])
    assert beside(path, "tmp") == []
    assert state_of(one) == state_of(other)


def test_a_store_that_is_removed_while_it_is_open_is_missed_and_not_made_again(
    pair: Pair, path: Path
) -> None:
    one, other = pair
    stored(one, put("a"))
    path.unlink()
    for backend in (one, other, one):
        with pytest.raises(StoreMissing, match="was removed while it was open; nothing was stored"):
            backend.apply([put("b")])
    assert not path.exists()


def test_a_store_that_was_moved_away_and_back_is_the_same(pair: Pair, path: Path) -> None:
    one, other = pair
    stored(one, put("a"))
    path.rename(path.with_name("away"))
    with pytest.raises(StoreMissing):
        other.apply([put("b")])
    path.with_name("away").rename(path)
    stored(other, put("b"))
    assert ready_ids(one) == ["a", "b"]


def test_another_store_moved_into_the_place_is_used_from_then_on(pair: Pair, path: Path) -> None:
    one, other = pair
    stored(one, put("a", "old"))
    with opened(path.with_name("new.json"), HandClock()) as new:
        stored(new, put("x", "new"), put("y"), put("a", "not the old one"))
    path.with_name("new.json").rename(path)
    assert data_of(other, "a") == "not the old one"
    stored(one, put("z"))
    assert ready_ids(other) == ["x", "y", "a", "z"]
    assert state_of(one) == state_of(other)


def test_a_backup_copied_over_the_store_by_renaming_is_used_from_then_on(pair: Pair, path: Path) -> None:
    one, other = pair
    stored(one, put("a"))
    shutil.copy(path, path.with_name("backup"))
    stored(one, put("b"))
    (lease,) = claimed(other)
    path.with_name("backup").rename(path)
    assert ready_ids(one) == ["a"]
    assert state_of(one) == state_of(other)
    assert str(other.apply([ack(lease)])[0]).startswith("the receipt of task a is stale")


def test_what_is_no_store_in_the_place_of_an_open_one_is_refused_until_it_is_gone(
    pair: Pair, path: Path
) -> None:
    one, other = pair
    stored(one, put("a"))
    path.rename(path.with_name("away"))
    path.write_text("hello")
    for backend in (one, other, one):
        with pytest.raises(UnsupportedFormat):
            backend.apply([put("b")])
    path.with_name("away").rename(path)
    stored(one, put("b"))
    assert ready_ids(other) == ["a", "b"]


def test_an_editor_that_strips_the_blanks_does_no_harm(pair: Pair, path: Path) -> None:
    one, other = pair
    stored(one, put("a"))
    os.truncate(path, len(path.read_bytes().rstrip(b" ")))
    stored(other, put("b"))
    stored(one, put("c"))
    assert ready_ids(other) == ["a", "b", "c"]


def test_every_commit_leaves_valid_json(pair: Pair, path: Path) -> None:
    one, other = pair
    sizes = []
    for turn in range(30):
        stored(one, put(f"a{turn}", "x" * turn * 100))
        other.apply([ack(claimed(other)[0])] if turn % 2 else [Purge(queue="q")])
        sizes.append(len(json.loads(path.read_bytes())["commits"]))
    assert all(before < after for before, after in pairwise(sizes))


def test_reading_writes_nothing(pair: Pair, path: Path) -> None:
    one, other = pair
    stored(one, put("a"))
    before = path.read_bytes()
    state_of(other)
    assert claimed(other, queue="nowhere") == []
    assert path.read_bytes() == before


def test_leftovers_of_a_killed_compaction_are_removed_at_the_next_opening(path: Path) -> None:
    for name in (f"{path.name}.tmp-0123456789abcdef", f"{path.name}.tmp-fedcba9876543210"):
        path.with_name(name).write_bytes(b"half a file")
    others = [path.with_name(name) for name in ("Other.json.tmp-0123456789abcdef", f"{path.name}.tmp-mine")]
    for other in others:
        other.write_bytes(b"somebody else's")
    with opened(path):
        assert beside(path, "tmp") == [others[1]]
    assert all(other.exists() for other in others)


@pytest.mark.parametrize("kept", ["made anew", "made anew with a store in it"])
def test_a_directory_that_was_replaced_is_noticed(tmp_path: Path, kept: str) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with opened(folder / "Queue.json") as backend:
        stored(backend, put("old"))
        times = folder.stat()
        time.sleep(0.2)  # until the times of the directory are trusted
        stored(backend, put("older"))
        folder.rename(tmp_path / "away")
        folder.mkdir()
        if "store" in kept:
            shutil.copytree(tmp_path / "away", folder, dirs_exist_ok=True)
        os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
        os.utime(tmp_path / "away", ns=(times.st_atime_ns, times.st_mtime_ns))
        if "store" in kept:
            stored(backend, put("new"))
            with opened(folder / "Queue.json") as other:
                assert ready_ids(other) == ["old", "older", "new"]
        else:
            with pytest.raises(StoreMissing):
                backend.apply([put("new")])
