"""What is acknowledged is on the disk: seen in the order of the system calls, as a power cut would see it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from .support import compact, opened, put, stored
from .tracing import Nursery

_CALLS: Final = "trace=openat,write,pwrite64,writev,fsync,fdatasync,rename,ftruncate"
_LINE: Final = re.compile(r"\d+ +(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_FD: Final = re.compile(r"^\d+<(?P<path>[^>]*)>")


class Disk:
    """Knows what of a store a power cut could take away, from a trace of system calls."""

    def __init__(self, path: Path, answer: str = "writev", said: str = "ok") -> None:
        self._answer, self._said = answer, said
        self._path = str(path)
        self._directory = str(path.parent)
        self.unsynced: set[str] = set()
        self.acknowledged = 0

    def follow(self, trace: list[str]) -> None:
        """Check that nothing is acknowledged that is not on the disk."""
        for line in trace:
            if (match := _LINE.match(line)) is not None and int(match["result"]) >= 0:
                self._take(match["call"], match["arguments"])

    def _take(self, call: str, arguments: str) -> None:
        fd = _FD.match(arguments)
        path = fd["path"] if fd is not None else ""
        if call == self._answer:
            assert not self.unsynced, f"acknowledged before a sync of {self.unsynced}: {arguments}"
            self.acknowledged += self._said in arguments
        elif call in ("fsync", "fdatasync"):
            self.unsynced.discard(path)
        elif call == "rename":
            self._rename(*re.findall(r'"([^"]*)"', arguments))
        elif call in ("write", "pwrite64", "ftruncate") and self._is_ours(path):
            self.unsynced.add(path)

    def _rename(self, source: str, target: str) -> None:
        assert target == self._path
        assert source not in self.unsynced, "renamed before its content was synced"
        self.unsynced.discard(target)
        self.unsynced.add(self._directory)

    def _is_ours(self, path: str) -> bool:
        return path == self._path or path.startswith(f"{self._path}.tmp-")


@pytest.mark.parametrize(("name", "steps"), [("session", 7), ("compaction", 3), ("twice", 5)])
def test_nothing_is_acknowledged_before_it_is_synced(
    nursery: Nursery, tmp_path: Path, name: str, steps: int
) -> None:
    path = tmp_path / "Queue.json"
    disk = Disk(path)
    disk.follow(nursery.run(name, path, _CALLS).trace)
    assert disk.acknowledged == steps


def test_recovery_and_repair_are_synced(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"))
        stored(backend, put("b"))
    data = path.read_bytes().rstrip(b" ")
    for content in (data[:-20], data + b"\x00" * 50 + b"x"):
        path.write_bytes(content)
        disk = Disk(path)
        disk.follow(nursery.run("put", path, _CALLS).trace)
        assert disk.acknowledged == 1
    path.write_bytes(path.read_bytes().replace(b'"id":"a"', b'"id":"X"'))
    disk = Disk(path)
    disk.follow(nursery.run("fsck", path, _CALLS).trace)
    assert disk.acknowledged == 1


def test_a_rename_that_a_killed_compaction_did_not_sync_is_synced_by_the_next_opener(
    nursery: Nursery, tmp_path: Path
) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"))
    run = nursery.run("compaction", path, "trace=fsync", "inject=fsync:signal=KILL:when=3")
    assert run.was_killed
    disk = Disk(path)
    disk.unsynced.add(str(tmp_path))
    disk.follow(nursery.run("put", path, _CALLS).trace)
    assert disk.acknowledged == 1


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
