"""A store is read with nothing but ``json`` and the rules of ``docs/formats/queue-json.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from distqueue.commands import Pause

from .page_reader import as_read
from .random_commands import Commands
from .support import HandClock, compact, fsck, opened, put, state_of, stored

PAGE: Final = Path(__file__).parents[2] / "docs" / "formats" / "queue-json.md"


def as_told(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a store as the library tells it, in the shape of ``as_read``."""
    return {
        name: {
            "tasks": queue["tasks"],
            "line": queue["line"],
            "gone": [as_gone(gone) for gone in queue["remembered"]],
            "paused": queue["stats"].get("paused", False),
            "expired": queue["stats"].get("expired", 0),
            "fence": queue["stats"]["fence"],
            "note": queue["stats"]["fence_note"],
        }
        for name, queue in state.items()
    }


def as_gone(gone: dict[str, Any]) -> dict[str, Any]:
    deliveries, token, _ = (gone["receipt"] or "0..x").split(".", 2)
    same = {"id": gone["task_id"], "at": gone["at"], "settled": gone["settled"]}
    return same | {"deliveries": int(deliveries), "token": token or None}


@pytest.mark.parametrize("seed", range(1000, 1015))
def test_a_reader_that_knows_the_page_only_sees_what_the_library_tells(shm: Path, seed: int) -> None:
    path, clock, make = shm / "Queue.json", HandClock(), Commands(seed, fences=seed % 3 == 0)
    with opened(path, clock, dedup_window=25.0, dedup_max=6) as backend:
        for _ in range(50):
            clock.now += make.pause()
            commands = make.batch()
            make.note(commands, backend.apply(commands))
            if make.chance(0.1):
                compact(backend)
            told = as_told(state_of(backend))
            assert as_read(path.read_text("utf-8"), 25.0, 6) == told


def test_the_example_on_the_page_is_what_is_written(shm: Path) -> None:
    path, clock = shm / "Queue.json", HandClock(1_764_000_000.25)
    with opened(path, clock) as backend:
        stored(backend, put("t1", {"to": "a@example.org"}), put("t2", [1, 2], priority=3, delay=10))
        clock.now += 0.5
        backend.apply([Pause(queue="q")])
    _, _, example = PAGE.read_text("utf-8").partition("```json\n")
    example, _, _ = example.partition("\n```")
    (header, *commits), (its_header, *its_commits) = (
        text.rstrip().split("\n") for text in (path.read_text("utf-8"), example)
    )
    assert commits == its_commits
    assert json.loads(header + "]}").keys() == json.loads(its_header + "]}").keys()
    path.write_text(example, "utf-8")
    assert fsck(path).is_sound


def test_cuts_lead_to_the_payloads(shm: Path) -> None:
    path = shm / "Queue.json"
    with opened(path) as backend:
        backend.apply(
            [
                put("a", "é"),
                Pause(queue="other"),
                put("b", [1], headers={"x": "y"}),
                put("c", None, queue="z"),
            ]
        )
    line = path.read_bytes().split(b"\n")[1]
    (commit,) = json.loads(path.read_text("utf-8"))["commits"]
    at = line.index(b'"ops":[') + len(b'"ops":')
    found = []
    for skip, size in zip(commit["cuts"][::2], commit["cuts"][1::2], strict=True):
        found.append(line[at + skip : at + skip + size])
        at += skip + size
    assert found == ['"é"'.encode(), b"[1]", b'{"task":"c"}']
