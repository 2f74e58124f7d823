"""What the conformance suite does not ask: the listing, and what is particular to LMDB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from distqueue import BatchRefused, ConfigError, Queue, StoreBusy, StoreDamaged, StoreFull, UnsupportedFormat
from distqueue_lmdb.environment import OPEN


def opened(url: str) -> None:
    """Open a store, which a queue does when it is first asked something, and close it."""
    with Queue(url) as queue:
        queue.stats()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"lmdb:///{tmp_path}/store"


def test_it_is_listed_without_its_client_library() -> None:
    program = (
        "import runpy, sys; sys.modules['lmdb'] = None; runpy.run_module('distqueue', run_name='__main__')"
    )
    command = [sys.executable, "-c", program, "backends", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    (ours,) = [backend for backend in listed if backend["scheme"] == "lmdb"]
    assert (ours["status"], ours["distribution"]) == ("ok", "distqueue-lmdb")


def test_a_full_store_refuses_puts_settles_and_takes_tasks_again(url: str) -> None:
    with Queue(url + "?map_size=8388608") as queue:
        queue.put("x" * 500_000)
        with pytest.raises(BatchRefused, match="map_size") as refused:
            queue.put_many("x" * 500_000 for _ in range(20))
        assert any(isinstance(outcome, StoreFull) for outcome in refused.value.outcomes)
        while delivery := queue.get(timeout=0):
            delivery.ack()
        queue.put("x" * 500_000)
    assert not OPEN


def test_a_store_that_grew_elsewhere_is_read(url: str) -> None:
    program = (
        "import sys; from distqueue import Queue\n"
        "with Queue(sys.argv[1]) as queue:\n"
        "    for _ in range(20): queue.put('x' * 10**6)"
    )
    with Queue(url + "?map_size=8388608") as queue:
        queue.put("first")
        subprocess.run([sys.executable, "-c", program, url], timeout=60, check=True)
        assert queue.stats().ready == 21


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear all")
    with pytest.raises(ConfigError, match="other files"):
        opened(f"lmdb:///{tmp_path}/other")
    assert os.listdir(tmp_path / "other") == ["letter.txt"]
    with pytest.raises(ConfigError, match="no directory"):
        opened(f"lmdb:///{tmp_path}/other/letter.txt")
    with lmdb.open(str(tmp_path / "foreign")) as foreign, foreign.begin(write=True) as txn:
        txn.put(b"a", b"b")
    with pytest.raises(UnsupportedFormat, match="something else"):
        opened(f"lmdb:///{tmp_path}/foreign")


def test_a_damaged_store_says_so(tmp_path: Path, url: str) -> None:
    opened(url)
    (tmp_path / "store" / "data.mdb").write_bytes(b"x" * 8192)
    with pytest.raises(StoreDamaged, match="cannot be opened"):
        opened(url)


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path, url: str) -> None:
    opened(url)
    with lmdb.open(str(tmp_path / "store"), max_dbs=9) as env, env.begin(write=True) as txn:
        txn.put(b"distqueue", b"2")
    with pytest.raises(UnsupportedFormat, match="newer"):
        opened(url)


def test_waiting_for_another_process_has_a_limit(tmp_path: Path, url: str) -> None:
    program = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "print(flush=True); sys.stdin.read()"
    )
    with Queue(url + "?lock_timeout=0.05") as queue:
        queue.stats()
        command = [sys.executable, "-c", program, str(tmp_path / "store" / "distqueue.lock")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with pytest.raises(StoreBusy):
                queue.stats()
            holder.communicate()
        assert queue.stats().ready == 0


FORKED = """
import os, sys
from distqueue import Queue

queue = Queue(sys.argv[1])
queue.put("of the parent")
if (pid := os.fork()) == 0:
    with queue.get(timeout=10) as delivery:
        assert delivery.data == "of the parent"
    queue.put("of the child")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
with queue.get(timeout=10) as delivery:
    print(delivery.data)
"""


def test_a_child_of_a_fork_opens_the_store_for_itself(url: str) -> None:
    command = [sys.executable, "-c", FORKED, url]
    assert subprocess.check_output(command, text=True, timeout=60) == "of the child\n"
