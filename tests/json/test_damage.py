"""Bytes that are not what was written: refused by name, never skipped; ``fsck`` saves what is good."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distqueue.commands import Cancel, Pause
from distqueue.errors import StoreDamaged, StoreError, StoreMissing, UnsupportedFormat
from distqueue_backends.json.format import CLOSE

from .support import HandClock, ack, beside, claimed, compact, fsck, opened, put, state_of, stored

type State = dict[str, Any]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.fixture
def store(shm: Path) -> Path:
    """A store of few bytes with several commits."""
    path = shm / "Queue.json"
    with opened(path, HandClock()) as backend:
        stored(backend, put("a", 1), put("b", 2))
        stored(backend, put("c", {"crc": "00000000"}, group="g"))
        backend.apply([ack(claimed(backend, lease=1e9)[0])])
        backend.apply([Pause(queue="other")])
        stored(backend, put("d", "last"))
    return path


def spans(path: Path) -> list[tuple[int, int]]:
    """Return where each line of a store begins and ends; the header is the first, the brackets the last."""
    data = path.read_bytes().rstrip(b" ")
    ends = [at for at in range(len(data)) if data[at : at + 1] == b"\n"] + [len(data)]
    return list(zip([0, *(end + 1 for end in ends[:-1])], ends))


def states(path: Path) -> list[State]:
    """Return what a store holds after each of its commits; the first is what it holds before them."""
    data = path.read_bytes()
    copy = path.with_name("copy.json")
    found = []
    for _, end in spans(path)[:-1]:
        copy.write_bytes(data[:end].removesuffix(b",") + CLOSE)
        with opened(copy, HandClock()) as backend:
            found.append(state_of(backend))
    return found


def rewrite(path: Path, data: bytes) -> None:
    """Put a damaged file in place, as if nothing had been recovered from it yet."""
    for left in path.parent.glob(f"{path.name}.*-*"):
        left.unlink()
    path.write_bytes(data)


def flips(data: bytes, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes with one bit flipped, for each byte between two offsets: another bit each time."""
    for at in range(begin, end):
        bad = bytearray(data)
        bad[at] ^= 1 << (at % 8)
        yield at, bytes(bad)


def test_a_flipped_bit_in_the_middle_is_refused_and_named(store: Path) -> None:
    data = store.read_bytes().rstrip(b" ")
    *_, (last, _), _ = spans(store)
    lines = spans(store)
    for at, bad in flips(data, 0, last - 2):
        rewrite(store, bad)
        with pytest.raises(StoreDamaged, match=r"byte \d+") as refusal, opened(store):
            pytest.fail(f"byte {at} was flipped and nobody noticed")
        named = int(str(refusal.value).partition("byte ")[2].partition(":")[0].partition(")")[0])
        begin = max(begin for begin, _ in lines if begin <= at)
        assert begin - 2 <= named <= at, (at, named)
        assert "fsck" in str(refusal.value)
        assert store.read_bytes() == bad
        assert not beside(store, "torn")


def test_a_flipped_bit_at_the_end_costs_no_more_than_the_last_commit(store: Path) -> None:
    data = store.read_bytes().rstrip(b" ") + b" " * 20
    *_, (last, _), _ = spans(store)
    *_, before, after = states(store)
    for at, bad in flips(data, last - 2, len(data)):
        rewrite(store, bad)
        try:
            with opened(store, HandClock()) as backend:
                assert state_of(backend) in (before, after), at
            assert beside(store, "torn") or bad[at] == 0, at
        except StoreDamaged:
            assert at < last, at


def test_repair_keeps_the_bad_bytes_aside_and_everything_else(store: Path) -> None:
    data = store.read_bytes()
    lines = spans(store)
    every_id = {"a", "b", "c", "d"}
    near = {end + offset for _, end in lines for offset in range(-4, 5)}
    for at, bad in flips(data, 0, lines[-1][1]):
        if at % 5 and at not in near:
            continue
        rewrite(store, bad)
        report = fsck(store)
        assert not report.is_sound, at
        assert report.findings, at
        assert store.read_bytes() == bad
        report = fsck(store, repair=True)
        assert report.is_sound, at
        assert fsck(store).is_sound, at
        (hit,) = [number for number, (begin, end) in enumerate(lines) if begin <= at <= end]
        lost = {1: {"a", "b"}, 2: {"c"}, 6: {"d"}}.get(hit, set())
        with opened(store, HandClock(), create=False) as backend:
            state = state_of(backend)
            queue = state.get("q", {"tasks": [], "remembered": []})
            known = {each["task_id"] for each in [*queue["tasks"], *queue["remembered"]]}
            assert every_id - lost <= known <= every_id, at
            stored(backend, put("new"))
        if report.kept_aside is not None:
            kept = Path(report.kept_aside)
            assert kept.read_bytes()[:1].strip() or len(kept.read_bytes()) < 3, at
            assert kept.stat().st_mode & 0o777 == 0o600


def test_a_task_in_a_good_line_survives_repair_with_all_that_was_done_to_it(store: Path) -> None:
    begin, _ = spans(store)[2]
    data = bytearray(store.read_bytes())
    data[begin + 30] ^= 1
    rewrite(store, bytes(data))
    fsck(store, repair=True)
    with opened(store, HandClock()) as backend:
        state = state_of(backend)
    assert [task["task_id"] for task in state["q"]["tasks"]] == ["b", "d"]
    assert [task["task_id"] for task in state["q"]["remembered"]] == ["a"]
    assert state["other"]["stats"]["paused"]
    (aside,) = beside(store, "damaged")
    assert b'"id":"c"' in aside.read_bytes()


def rearranged(path: Path, order: list[int]) -> bytes:
    """Return a store with its commits (the first is 1) in another order."""
    data = path.read_bytes()
    lines = [data[begin:end].removesuffix(b",") for begin, end in spans(path)]
    return lines[0] + b"\n" + b",\n".join(lines[number] for number in order) + CLOSE


@pytest.mark.parametrize(
    "order",
    [
        [1, 3, 2, 4, 5, 6],
        [2, 1, 3, 4, 5, 6],
        [1, 2, 3, 4, 6, 5],
        [1, 1, 2, 3, 4, 5, 6],
        [1, 2, 3, 3, 4, 5, 6],
        [1, 3, 4, 5, 6],
        [2, 3, 4, 5, 6],
        [1, 2, 3, 4, 6],
        [6],
    ],
)
def test_commits_that_are_swapped_doubled_or_missing_are_refused(store: Path, order: list[int]) -> None:
    bad = rearranged(store, order)
    rewrite(store, bad)
    with pytest.raises(StoreDamaged, match="byte"), opened(store):
        pass
    assert not fsck(store).is_sound
    assert store.read_bytes() == bad
    assert fsck(store, repair=True).is_sound
    with opened(store, HandClock()) as backend:
        state_of(backend)
    assert fsck(store).is_sound


def test_the_last_commit_doubled_is_a_torn_tail(store: Path) -> None:
    *_, after = states(store)
    rewrite(store, rearranged(store, [1, 2, 3, 4, 5, 6, 6]))
    with opened(store, HandClock()) as backend:
        assert state_of(backend) == after
    assert len(beside(store, "torn")) == 1


def test_a_commit_of_another_store_does_not_fit(store: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "Other.json") as backend:
        for number in range(3):
            stored(backend, put(f"x{number}"))
        backend.apply([Cancel(queue="q", task_id="x1")])
    begin, end = spans(tmp_path / "Other.json")[4]
    foreign = (tmp_path / "Other.json").read_bytes()[begin:end]
    data = store.read_bytes()
    begin, end = spans(store)[4]
    rewrite(store, data[:begin] + foreign.removesuffix(b",") + b"," + data[end:])
    with pytest.raises(StoreDamaged, match="commit 4 does not fit"), opened(store):
        pass
    assert not fsck(store).is_sound
    fsck(store, repair=True)
    with opened(store):
        pass


def test_a_damaged_snapshot_is_refused_too(store: Path) -> None:
    with opened(store, HandClock()) as backend:
        compact(backend)
        stored(backend, put("e"))
    data = store.read_bytes().rstrip(b" ")
    *_, (last, _), _ = spans(store)
    for _, bad in flips(data, 0, last - 2):
        rewrite(store, bad)
        with pytest.raises(StoreDamaged), opened(store):
            pass


def test_a_store_that_others_have_open_is_refused_as_well(store: Path) -> None:
    with opened(store, HandClock()) as backend:
        with opened(store, HandClock()) as other:
            stored(other, put("x"), put("y"))
            stored(other, put("z"))
        begin, _ = spans(store)[-3]
        with store.open("r+b") as file:
            file.seek(begin + 40)
            file.write(b"!")
        for _ in range(2):
            with pytest.raises(StoreDamaged, match="damaged at byte"):
                backend.apply([put("e")])


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"hello", b"{}", b"[]", b'{"distqueue":{}}', b"\x00" * 9000, b"{" * 9000, b'{"distqueue":'],
)
def test_what_is_no_store_is_refused_and_left_alone(shm: Path, content: bytes) -> None:
    path = shm / "Queue.json"
    path.write_bytes(content)
    with pytest.raises(UnsupportedFormat, match="does not begin like a distqueue store"), opened(path):
        pass
    for repair in (False, True):
        with pytest.raises(UnsupportedFormat):
            fsck(path, repair=repair)
    assert path.read_bytes() == content


def test_fsck_of_a_sound_store_finds_nothing_and_changes_nothing(store: Path) -> None:
    data = store.read_bytes()
    for repair in (False, True):
        report = fsck(store, repair=repair)
        assert report.is_sound
        assert report.findings == []
        assert report.kept_aside is None
    assert store.read_bytes() == data


def test_fsck_of_a_store_that_is_not_there_makes_none(shm: Path) -> None:
    with pytest.raises(StoreMissing):
        fsck(shm / "Queue.json", repair=True)
    assert list(shm.iterdir()) == []


def test_fsck_mends_a_torn_tail_like_opening_does(store: Path) -> None:
    *_, before, _ = states(store)
    begin, _ = spans(store)[-2]
    rewrite(store, store.read_bytes()[: begin + 50])
    report = fsck(store, repair=True)
    assert report.kept_aside is not None
    with opened(store, HandClock()) as backend:
        assert state_of(backend) == before


def test_those_who_have_a_store_open_go_on_after_its_repair(store: Path) -> None:
    with opened(store, HandClock()) as backend:
        begin, _ = spans(store)[2]
        with store.open("r+b") as file:
            file.seek(begin + 30)
            file.write(b"!")
        fsck(store, repair=True)
        stored(backend, put("new"))
        state = state_of(backend)
    with opened(store, HandClock()) as backend:
        assert state_of(backend) == state
    assert "c" not in [task["task_id"] for task in state["q"]["tasks"]]


def test_a_newer_format_is_refused_by_its_number(store: Path) -> None:
    header, _, rest = store.read_bytes().partition(b"\n")
    begin, end = len(b'{"distqueue":{"crc":"01234567",'), -len(b',"commits":[')
    inner = header[begin:end].replace(b'"format":2', b'"format":3')
    newer = b'{"distqueue":{"crc":"%08x",%b,"commits":[' % (zlib.crc32(inner), inner)
    rewrite(store, newer + b"\n" + rest)
    for attempt in (lambda: opened(store).__enter__(), lambda: fsck(store, repair=True)):
        with pytest.raises(StoreError, match="format 3, newer than 2"):
            attempt()
