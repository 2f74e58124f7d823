"""Exports of stores in use, and the files they are written to."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from distqueue.commands import Ack, Put, Redrive, Reject
from distqueue.errors import ConfigError, InvalidTask, StoreError
from distqueue.transfer.exporting import export_store

from .conftest import Store, lines, task_ids


def test_each_task_that_is_there_all_the_time_is_exported_once(store: Store, tmp_path: Path) -> None:
    """Between two pages tasks are put, acked, retried, and redriven, which gives them new numbers."""
    names = [f"task-{number}" for number in range(1000)]
    store.put(*names)
    for lease in store.claim(20):
        store.do(Reject(queue="default", receipt=lease.receipt))
    pages = 0

    def use(written: int) -> None:
        nonlocal pages
        pages += 1
        store.put(f"new-{pages}")
        store.do(Redrive(queue="default"))
        acked, rejected, _ = store.claim(3)
        store.do(Ack(queue="default", receipt=acked.receipt))
        store.do(Reject(queue="default", receipt=rejected.receipt))
        gone.add(acked.task_id)

    gone: set[str] = set()
    asyncio.run(export_store(store.broker, None, str(tmp_path / "out"), use))
    assert pages > 3
    exported = Counter(task_ids(tmp_path / "out"))
    assert set(exported.values()) == {1}
    assert exported.keys() >= set(names) - gone


def test_an_id_that_goes_while_it_is_exported_is_not_lost(store: Store, tmp_path: Path) -> None:
    store.put(*[f"task-{number}" for number in range(300)])
    last = store.claim(300)[-1]

    def ack_the_last(written: int) -> None:
        store.do(Ack(queue="default", receipt=last.receipt))

    asyncio.run(export_store(store.broker, None, str(tmp_path / "out"), ack_the_last))
    assert last.task_id not in task_ids(tmp_path / "out")
    remembered = [line["remembered"]["task_id"] for line in lines(tmp_path / "out") if "remembered" in line]
    assert remembered == [last.task_id]


def test_the_progress_is_told(store: Store, tmp_path: Path) -> None:
    store.put(*[f"task-{number}" for number in range(300)])
    told: list[int] = []
    asyncio.run(export_store(store.broker, None, str(tmp_path / "out"), told.append))
    assert told == sorted(told)
    assert told[-1] == 300


def test_the_event_loop_is_free_meanwhile(store: Store, tmp_path: Path) -> None:
    store.put(*[f"task-{number}" for number in range(1000)])

    async def run() -> int:
        turns = 0
        export = asyncio.create_task(export_store(store.broker, None, str(tmp_path / "out")))
        while not export.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(run()) > 10


# --- The file -----------------------------------------------------------------------------------


def test_the_file_is_private_whatever_the_umask(store: Store, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store.export(tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600


def test_an_older_export_is_replaced(store: Store, tmp_path: Path) -> None:
    store.export(tmp_path / "out")
    store.put("a")
    store.export(tmp_path / "out")
    assert task_ids(tmp_path / "out") == ["a"]


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    store = Store(f"json:///{tmp_path}/Queue.json")
    store.put("a")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "letter").write_text("Dear A.")
    for name in ("Queue.json", "link", "letter", "."):
        with pytest.raises(ConfigError):
            store.export(tmp_path / name)
    assert (tmp_path / "letter").read_text() == "Dear A."
    assert not (tmp_path / "elsewhere").exists()
    assert [each.task_id for each in store.claim()] == ["a"]
    store.broker.close()


def test_a_failed_export_leaves_the_older_one_and_nothing_else(store: Store, tmp_path: Path) -> None:
    directory = tmp_path / "exports"
    directory.mkdir()
    store.put("a")
    store.export(directory / "out")
    before = (directory / "out").read_bytes()

    def fail(written: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(export_store(store.broker, None, str(directory / "out"), fail))
    with pytest.raises(InvalidTask):
        store.export(directory / "out", ["Bad Name"])
    assert os.listdir(directory) == ["out"]
    assert (directory / "out").read_bytes() == before


def test_a_disk_without_room_is_said_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    directory = tmp_path / "exports"
    directory.mkdir()
    store.put("a", data="x" * 100_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # Python ignores SIGXFSZ
    try:
        with pytest.raises(StoreError, match="cannot be written: File too large"):
            asyncio.run(export_store(store.broker, None, str(directory / "out")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(directory) == []


def test_a_missing_directory_is_said(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        store.export(tmp_path / "no" / "such" / "out")


# --- Memory -------------------------------------------------------------------------------------

MEASURE = """
import asyncio, re, sys
from distqueue.opening import open_broker
from distqueue.transfer.exporting import export_store
from distqueue.transfer.importing import import_store

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

def grown(work):
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    asyncio.run(work)
    return peak() - before

source, target = open_broker(sys.argv[1]), open_broker(sys.argv[2])
print(grown(export_store(source, None, sys.argv[3])), grown(import_store(target, None, sys.argv[3])))
source.close()
target.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.slow
def test_memory_stays_small_however_much_is_stored(tmp_path: Path) -> None:
    store = Store(f"json:///{tmp_path}/source.json")
    data = b'"%s"' % (b"x" * 10_000)
    for at in range(0, 8000, 1000):
        store.do(*[Put(queue="default", task_id=f"{at + n}", data=data) for n in range(1000)])
    store.broker.close()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, store.url, f"json:///{tmp_path}/target.json", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "out").stat().st_size > 80_000_000
    for kib in map(int, done.stdout.split()):
        assert kib < 40_000, done.stdout
