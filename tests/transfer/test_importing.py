"""Imports: what is refused, with which line, and that twice is the same as once."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distqueue.commands import Ack, Find
from distqueue.errors import ConfigError, InvalidTask, Refused, UnsupportedFormat
from distqueue.results import Found
from distqueue.task import FailedAttempt
from distqueue.transfer.files import CHUNK
from distqueue.transfer.importing import import_store

from .conftest import Store, lines, task_ids

HEADER = {"distqueue_export": 1}
TASK: dict[str, Any] = {
    "task_id": "it",
    "queue": "default",
    "state": "ready",
    "data": {"a": 1},
    "number": 1,
    "place": 1,
    "put_at": 1e9,
}

FAILED: dict[str, Any] = {
    "attempt": 1,
    "at": 1e9,
    "verb": "retry",
    "error": "no route",
    "traceback": "line 7",
}


def write(path: Path, *contents: object, end: bool = True) -> Path:
    """Write an export by hand: ``contents`` are its lines, those that are text as they are."""
    tasks = sum(isinstance(each, dict) and "task" in each for each in contents)
    last = [{"end": {"tasks": tasks, "remembered": 0, "paused": 0}}] if end else []
    texts = [each if isinstance(each, str) else json.dumps(each) for each in (HEADER, *contents, *last)]
    path.write_text("\n".join(texts) + "\n")
    return path


def task(**changes: object) -> dict[str, Any]:
    """Return the line of a task that is like any other, but for these changes."""
    return {"task": {**TASK, **changes}}


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    """The export of a filled store."""
    store.fill()
    store.export(tmp_path / "exported")
    return tmp_path / "exported"


# --- Twice, interrupted, into a store in use ----------------------------------------------------


def test_importing_twice_stores_nothing_twice(exported: Path, other: Store, tmp_path: Path) -> None:
    first = other.import_(exported)
    again = other.import_(exported)
    assert (again.tasks, again.remembered) == (0, 0)
    assert again.duplicates == first.tasks + first.remembered
    other.export(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == exported.read_bytes()


def test_what_was_done_since_stays_done(store: Store, other: Store, tmp_path: Path) -> None:
    store.put("a", "b")
    store.export(tmp_path / "out")
    other.import_(tmp_path / "out")
    other.do(Ack(queue="default", receipt=other.claim()[0].receipt))
    assert other.import_(tmp_path / "out").duplicates == 2
    assert [each.task_id for each in other.claim(9)] == ["b"]


def test_an_interrupted_import_is_completed_by_another(exported: Path, other: Store, tmp_path: Path) -> None:
    some = exported.read_text().splitlines(keepends=True)[:6]
    (tmp_path / "some").write_text("".join(some))
    other.import_(tmp_path / "some", partial=True)
    other.import_(exported)
    other.export(tmp_path / "out")
    assert task_ids(tmp_path / "out") == task_ids(exported)


def test_two_stores_are_merged(new_store: Callable[[], Store], tmp_path: Path) -> None:
    names = {letter: [f"{letter}{number}" for number in range(120)] for letter in "abc"}
    target = new_store()
    for letter in "abc":
        source = new_store()
        source.put(*names[letter])
        source.export(tmp_path / letter)
        assert target.import_(tmp_path / letter).tasks == 120
    target.export(tmp_path / "out")
    everything = sorted(each for some in names.values() for each in some)
    assert sorted(task_ids(tmp_path / "out")) == everything
    claimed = [each.task_id for each in target.claim(1000)]
    assert sorted(claimed) == everything
    for letter in "abc":
        assert [each for each in claimed if each[0] == letter] == names[letter]


def test_what_the_store_refuses_is_counted_and_the_rest_imported(
    store: Store, other: Store, tmp_path: Path
) -> None:
    store.put("a", unique="key")
    store.put("b", group="g", priority=1)
    store.put("c")
    store.export(tmp_path / "out")
    other.put("mine", unique="key")
    other.put("ours", group="g", priority=2)
    imported = other.import_(tmp_path / "out")
    assert (imported.tasks, imported.refused) == (1, 2)
    assert [each.line for each in imported.refusals] == [2, 3]
    assert "key" in imported.refusals[0].reason


# --- Truncated ----------------------------------------------------------------------------------


def test_a_truncated_file_is_refused_before_anything_is_stored(
    exported: Path, other: Store, tmp_path: Path
) -> None:
    whole = exported.read_bytes()
    ends = [index for index, byte in enumerate(whole) if byte == ord("\n")]
    for end in (*ends[:-1], ends[-2] + 1, ends[5] + 20, len(whole) - 3):
        (tmp_path / "cut").write_bytes(whole[:end])
        with pytest.raises(Refused, match="truncated"):
            other.import_(tmp_path / "cut")
    assert other.export(tmp_path / "out").tasks == 0


def test_a_line_lost_in_the_middle_is_noticed(exported: Path, other: Store, tmp_path: Path) -> None:
    all_lines = exported.read_text().splitlines(keepends=True)
    (tmp_path / "cut").write_text("".join(all_lines[:4] + all_lines[5:]))
    with pytest.raises(Refused, match="counts other lines"):
        other.import_(tmp_path / "cut")


def test_with_partial_what_is_left_is_taken(exported: Path, other: Store, tmp_path: Path) -> None:
    whole = exported.read_bytes()
    (tmp_path / "cut").write_bytes(whole[: whole.index(b'"leased"')])
    imported = other.import_(tmp_path / "cut", partial=True)
    assert not imported.is_whole
    assert imported.tasks == task_ids(exported).index("leased")


# --- Not an export ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "\n", "garbage\n", "{}\n", '{"task":{}}\n', "\x00" * 9, "[" * 10**6])
def test_what_is_not_an_export_is_refused(store: Store, tmp_path: Path, text: str) -> None:
    (tmp_path / "in").write_text(text)
    with pytest.raises(UnsupportedFormat, match="in is not an export"):
        store.import_(tmp_path / "in")


def test_a_newer_format_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").write_text('{"distqueue_export":2}\n')
    with pytest.raises(UnsupportedFormat, match="format 2"):
        store.import_(tmp_path / "in")


def test_a_file_that_cannot_be_read_is_said(store: Store, tmp_path: Path) -> None:
    for path in (tmp_path / "nope", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            store.import_(path)


CHANGES: list[dict[str, Any]] = [
    {"task_id": "a b"},
    {"task_id": ""},
    {"queue": "../up"},
    {"state": "lost"},
    {"state": "leased"},
    {"state": "scheduled", "place": None},
    {"state": "done"},
    {"place": None},
    {"place": -1},
    {"number": 0},
    {"number": 10**30},
    {"attempt": 0},
    {"deliveries": -1},
    {"priority": 32},
    {"put_at": 1e300},
    {"expires_at": 1.0},
    {"group": ""},
    {"headers": {"a": 1}},
    {"receipt": "nonsense"},
    {"receipt": "1.token.another"},
    {"error": "x" * 100_000},
    {"failures": [FAILED]},
    {"deliveries": 1, "failures": [FAILED] * 2},
    {"deliveries": 1, "failures": [{**FAILED, "verb": "ack"}]},
    {"deliveries": 1, "failures": [{**FAILED, "attempt": 0}]},
    {"deliveries": 1, "failures": [{**FAILED, "at": 1e300}]},
    {"deliveries": 1, "failures": [{**FAILED, "error": "x" * 1025}]},
    {"deliveries": 1, "failures": [{**FAILED, "traceback": "x" * 8193}]},
    {"deliveries": 99, "failures": [FAILED] * 11},
]

GARBAGE: list[object] = [
    "garbage",
    "{}",
    "[]",
    '{"task": null}',
    '{"task": {"task_id": "x"}}',
    '{"paused": "q", "end": {"tasks": 0}}',
    '{"unknown": 1}',
    '{"paused": "Bad Name"}',
    '{"end": {"tasks": 0, "remembered": 0, "paused": 0}}',
    "[" * 100_000,
    '{"task": ' + json.dumps(TASK).replace('{"a": 1}', "[" * 80 + "]" * 80) + "}",
    '{"remembered": {"task_id":"a b","queue":"q","at":1,"checksum":1,"settled":"ack"}}',
    '{"remembered": {"task_id":"a","queue":"q","at":1,"checksum":-1,"settled":"ack"}}',
    *[{"task": TASK | change} for change in CHANGES],
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_ends_the_import_with_its_line(store: Store, tmp_path: Path, garbage: object) -> None:
    path = write(tmp_path / "in", task(task_id="before"), garbage, task(task_id="after", number=2, place=2))
    with pytest.raises(InvalidTask, match=r"^line [34] .*; what stands before it is imported$"):
        store.import_(path)
    assert store.claim()[0].task_id == "before"


def test_failed_attempts_are_imported(store: Store, tmp_path: Path) -> None:
    store.import_(write(tmp_path / "in", task(deliveries=1, failures=[FAILED])))
    (found,) = store.do(Find(queue="default", task_id="it"))
    assert isinstance(found, Found)
    assert found.task is not None
    assert found.task.failures == (FailedAttempt(**FAILED),)


def test_data_may_be_any_json(store: Store, tmp_path: Path) -> None:
    texts = ["null", "1e999", '"\\ud800"', "123456789012345678901234567890", '{"a" : [ 1 ]}']
    valid = [text for text in texts if text not in ("1e999", '"\\ud800"')]
    path = write(
        tmp_path / "in",
        *[
            json.dumps(task(task_id=f"{at}", number=at + 1, place=at + 1)).replace('{"a": 1}', text)
            for at, text in enumerate(valid)
        ],
        end=False,
    )
    store.import_(path, partial=True)
    assert [each.data.decode() for each in store.claim(9)] == valid


def test_blank_lines_and_windows_line_ends_are_no_matter(store: Store, tmp_path: Path) -> None:
    text = write(tmp_path / "in", "", task(), "").read_text()
    (tmp_path / "in").write_bytes(text.replace("\n", "\r\n").encode())
    assert store.import_(tmp_path / "in").tasks == 1


def test_lines_longer_than_a_chunk_are_read(store: Store, other: Store, tmp_path: Path) -> None:
    store.put("a", "b", data="x" * (CHUNK * 3))
    store.export(tmp_path / "out")
    assert other.import_(tmp_path / "out").tasks == 2
    assert len(other.claim()[0].data) == CHUNK * 3 + 2


# --- Not a regular file -------------------------------------------------------------------------


def test_a_pipe_is_read_like_a_file(store: Store, other: Store, tmp_path: Path) -> None:
    store.fill()
    store.export(tmp_path / "out")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes((tmp_path / "out").read_bytes()))
    writer.start()
    assert other.import_(tmp_path / "pipe").tasks == len(task_ids(tmp_path / "out"))
    writer.join()
    assert len(lines(tmp_path / "out")) > 3


def test_an_idle_input_can_be_interrupted(store: Store, tmp_path: Path) -> None:
    """If a thread waited for the input, the event loop could not be closed."""
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)

    async def run() -> None:
        has_read = asyncio.Event()
        going = asyncio.create_task(
            import_store(store.broker, None, str(tmp_path / "pipe"), on_progress=lambda _: has_read.set())
        )
        os.write(writer, json.dumps(HEADER).encode() + b"\n")
        await has_read.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    asyncio.run(run())
    os.close(writer)
