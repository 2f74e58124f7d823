"""A store that an older release made is read by every later one: each task, exactly as it was."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from distqueue.commands import Put
from distqueue.errors import AlreadySettled
from distqueue.payload import encode
from distqueue.results import Settled, Stored

from .page_reader import as_read
from .support import HandClock, ack, claimed, compact, expect, fsck, ids, opened, ready_ids, state_of, stored
from .test_reader import as_told

FIXTURES: Final = Path(__file__).parent.parent / "fixtures"
PAGE: Final = Path(__file__).parents[2] / "docs" / "formats" / "queue-json.md"


@pytest.fixture(params=[1, 2])
def made(request: pytest.FixtureRequest) -> Path:
    """The folder of a store of each format."""
    return FIXTURES / f"json-format-{request.param}"


@pytest.fixture
def path(shm: Path, made: Path) -> Path:
    path = shm / "Queue.json"
    shutil.copy(made / "Queue.json", path)
    return path


@pytest.fixture
def found(made: Path) -> Any:
    """What is to be found in the store, and when."""
    found = json.loads((made / "found.json").read_text("utf-8"))
    for queue in found["queues"].values():
        for task in queue["tasks"]:
            task.setdefault("failures", None)
    return found


first_format_only = pytest.mark.parametrize("made", [FIXTURES / "json-format-1"])


def as_found(state: dict[str, Any], found: Any) -> dict[str, Any]:
    """Return what is known of a store, without the failures where the release that made it kept none."""
    for name, queue in state.items():
        for task, before in zip(queue["tasks"], found["queues"][name]["tasks"], strict=True):
            task["failures"] = before["failures"] and task["failures"]
    return state


def format_of(path: Path) -> int:
    """Return the format that a file says it has."""
    found: int = json.loads(path.read_bytes())["distqueue"]["format"]
    return found


def test_the_store_has_every_kind_of_step_and_a_task_in_every_state(path: Path, found: Any) -> None:
    _, _, table = PAGE.read_text("utf-8").partition("\n## Ops\n")
    rows = [row.split("|")[1] for row in table.partition("\n## ")[0].splitlines() if row.startswith("| `")]
    ops = {op for row in rows for op in re.findall("`([a-z]+)`", row)} - {"op"}
    commits = json.loads(path.read_bytes())["commits"]
    assert {op["op"] for commit in commits for op in commit["ops"]} == ops
    states = {task["state"] for queue in found["queues"].values() for task in queue["tasks"]}
    assert states == {"scheduled", "ready", "leased", "done", "dead"}


def test_every_task_is_as_it_was(made: Path, path: Path, found: Any) -> None:
    with opened(path, HandClock(found["now"]), create=False) as backend:
        assert as_found(state_of(backend), found) == found["queues"]
    assert path.read_bytes().rstrip(b" ") == (made / "Queue.json").read_bytes()
    assert fsck(path).is_sound


def test_a_reader_that_knows_the_page_only_finds_the_same(path: Path, found: Any) -> None:
    read = as_read(path.read_text("utf-8"), 300.0, 100_000)
    assert as_found(read, found) == as_told(found["queues"])


@first_format_only
def test_its_log_tells_how_attempts_failed(path: Path, found: Any) -> None:
    with opened(path, HandClock(found["now"]), create=False) as backend:
        told = {task["task_id"]: task["failures"] for task in state_of(backend)["emails"]["tasks"]}
    assert told["bad"] == [{"attempt": 1, "at": found["now"], "verb": "reject", "error": "no"}]
    assert told["rejected"] == []


@first_format_only
def test_it_is_of_the_newest_format_as_soon_as_something_is_added(path: Path, found: Any) -> None:
    with opened(path, HandClock(found["now"])) as reader, opened(path, HandClock(found["now"])) as writer:
        assert format_of(path) == 1
        state = state_of(reader)
        stored(writer, Put(queue="brief", task_id="new", data=b"1"))
        assert format_of(path) == 2
        assert {**state_of(reader), "brief": {}} == {**state, "brief": {}}
        assert "new" in ready_ids(reader, "brief")
    assert fsck(path).is_sound


def test_the_store_works_on(path: Path, found: Any) -> None:
    clock = HandClock(found["now"])
    with opened(path, clock) as backend:
        receipts = {task["task_id"]: task["receipt"] for task in found["queues"]["emails"]["tasks"]}
        expect(backend.apply([ack(receipts["leased"], queue="emails")])[0], Settled)
        assert isinstance(backend.apply([ack(receipts["rejected"], queue="emails")])[0], AlreadySettled)
        again = Put(queue="emails", task_id="acked", data=encode({"task": "acked"}))
        assert expect(backend.apply([again])[0], Stored).duplicate
        stored(backend, Put(queue="emails", task_id="new", data=b"1"))
        line = ready_ids(backend, "emails")
        assert line[-1] == "new"
        compact(backend)
        clock.now += 2e6
        assert ids(claimed(backend, 9, queue="emails"))[: len(line)] == line
    assert fsck(path).is_sound
