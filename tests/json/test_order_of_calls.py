"""What is acknowledged is on the disk: seen in the order of the system calls, as a power cut would see it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from distqueue.conformance.disk import Disk, files_in
from distqueue.conformance.syscalls import CALLS

from .support import compact, opened, put, stored
from .tracing import Nursery, Run

_CALLS: Final = f"trace={CALLS}"


def disk_of(path: Path) -> Disk:
    """What is known of a store's directory before somebody is traced."""
    return Disk(lambda each: each == str(path) or each.startswith(f"{path}.tmp-"), files_in(str(path.parent)))


def check(disk: Disk, run: Run, steps: int) -> None:
    """Nothing was noted as acknowledged that is not on the disk."""
    assert disk.follow(run.trace, lambda call: call.name == "writev" and "ok" in call.arguments) == []
    assert disk.answers == steps


@pytest.mark.parametrize(("name", "steps"), [("session", 7), ("compaction", 3), ("twice", 5)])
def test_nothing_is_acknowledged_before_it_is_synced(
    nursery: Nursery, tmp_path: Path, name: str, steps: int
) -> None:
    path = tmp_path / "Queue.json"
    disk = disk_of(path)
    check(disk, nursery.run(name, path, _CALLS), steps)


def test_recovery_and_repair_are_synced(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"))
        stored(backend, put("b"))
    data = path.read_bytes().rstrip(b" ")
    for content in (data[:-20], data + b"\x00" * 50 + b"x"):
        path.write_bytes(content)
        check(disk_of(path), nursery.run("put", path, _CALLS), 1)
    path.write_bytes(path.read_bytes().replace(b'"id":"a"', b'"id":"X"'))
    check(disk_of(path), nursery.run("fsck", path, _CALLS), 1)


def test_a_rename_that_a_killed_compaction_did_not_sync_is_synced_by_the_next_opener(
    nursery: Nursery, tmp_path: Path
) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"))
    disk = disk_of(path)
    run = nursery.run("compaction", path, _CALLS, "inject=fsync:signal=KILL:when=3")
    assert run.was_killed
    assert disk.follow(run.trace, lambda call: False) == []
    assert list(disk.at_risk())
    check(disk, nursery.run("put", path, _CALLS), 1)


def test_a_rename_that_a_killed_compaction_did_not_sync_is_synced_by_who_goes_over_to_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "Queue.json"
    synced: list[str] = []
    with opened(path) as one, opened(path) as other:
        stored(one, put("a"))
        stored(other, put("b"))
        compact(one)
        monkeypatch.setattr("distqueue_backends.json.backend.sync_directory", synced.append)
        stored(other, put("c"))
    assert synced == [str(path)]
