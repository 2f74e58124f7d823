"""Nothing is answered before all that it rests on is on the disk, whoever wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from distqueue import Queue
from tests.json.tracing import need_strace
from tests.sqlite.programs import Program, programs, traced, wait_for
from tests.sqlite.test_sqlite import shell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_every_put_is_synced_before_it_is_answered(path: Path, url: str, tmp_path: Path) -> None:
    need_strace()
    trace = tmp_path / "trace"
    script = """
import os, sys
from distqueue import Queue
with Queue(sys.argv[1]) as queue:
    for n in range(10):
        queue.put(n)
        os.write(2, b"answered")
"""
    calls = "trace=pwrite64,fsync,fdatasync,write"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", calls, sys.executable, "-c", script, url]
    subprocess.run(command, check=True, timeout=60, stderr=subprocess.DEVNULL)
    unsynced, answered, is_named = False, 0, False
    for line in trace.read_text().splitlines():
        if "sync(" in line and f"<{tmp_path}>" in line:
            is_named = True
        elif "queue.db-wal>" in line and "pwrite64(" in line:
            unsynced = True
        elif "queue.db-wal>" in line and "sync(" in line:
            unsynced = False
        elif '"answered"' in line:
            answered += 1
            assert is_named
            assert not unsynced
    assert answered == 10


ASKED = """
import sys
from distqueue import Queue
queue = Queue(sys.argv[1])
queue.stats()
print("ready", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


def test_an_answer_that_rests_on_what_another_has_not_synced_yet_is_synced(url: str, tmp_path: Path) -> None:
    need_strace()
    writer, reader = Program(ASKED, url), Program(ASKED, url)
    written, read = tmp_path / "written", tmp_path / "read"
    slow = ("-e", "trace=flock,fdatasync", "-e", "inject=fdatasync:delay_enter=3000000")
    with programs(writer, reader):
        assert writer.hear() == reader.hear() == "ready"
        with traced(writer.process.pid, written, *slow):
            writer.tell("queue.put(1, task_id='one').task_id")
            wait_for(written, "LOCK_UN")  # it is committed, and not synced for three seconds
            with traced(reader.process.pid, read, "-e", "trace=fdatasync"):
                assert reader.ask("queue.find('one').task_id") == "one"
                first = read.read_text()
                assert reader.ask("queue.find('one').task_id") == "one"
                second = read.read_text()
            assert writer.hear() == "one"
    assert first.count("queue.db-wal>") == 1
    assert second == first  # nobody has changed anything since


SCENARIO = """
import sys
from distqueue import Queue, OutcomeUnknown, StoreFailed
queue = Queue(sys.argv[1])
queue.put("first", task_id="first")
print("ready", flush=True)
sys.stdin.readline()
try:
    queue.put("second", task_id="second")
except OutcomeUnknown as error:
    print("unknown", flush=True)
try:
    queue.put("third", task_id="third")
except StoreFailed as error:
    print("failed", flush=True)
"""


def test_a_failed_sync_is_final_and_the_store_is_recovered(path: Path, url: str) -> None:
    need_strace()
    other = Queue(url)
    other.stats()
    command = [sys.executable, "-c", SCENARIO, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        calls = "fdatasync,fsync"
        strace = subprocess.Popen(
            ["strace", "-f", "-o", os.devnull, "-e", f"inject={calls}:error=EIO", "-p", str(process.pid)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        said = process.communicate("\n")[0]
        strace.communicate(timeout=20)
    assert said == "unknown\nfailed\n"
    lock = path.with_name("queue.db.lock")
    assert lock.read_bytes() == b"failed\n"
    with other:
        other.put("of one that had it open", task_id="third")
        assert lock.read_bytes() == b""
        assert path.with_name("queue.db-wal").stat().st_size < path.stat().st_size
    with Queue(url) as queue:
        assert queue.find("first") is not None
        queue.put("second", task_id="second")
        assert queue.stats().ready == 3
    assert shell(path, "PRAGMA integrity_check") == [("ok",)]
