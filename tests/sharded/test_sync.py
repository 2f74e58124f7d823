"""Nothing is answered before every shard that it was written into is synced, whichever thread does that."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.json.tracing import need_strace

PUTS = """
import os, sys
from distqueue import Queue
with Queue(sys.argv[1]) as queue:
    for n in range(10):
        queue.put_many(range(40))
        os.write(2, b"answered")
        queue.ack_many(queue.get_many(30))
        os.write(2, b"answered")
"""


def test_every_shard_of_a_call_is_synced_before_it_is_answered(tmp_path: Path) -> None:
    need_strace()
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=pwrite64,fdatasync,write"]
    command += [sys.executable, "-c", PUTS, f"sharded-json:///{tmp_path}/queue.d"]
    subprocess.run(command, check=True, timeout=110, stderr=subprocess.DEVNULL)
    unsynced: set[str] = set()
    begun: dict[str, str] = {}
    answered, written = 0, set()
    for line in trace.read_text().splitlines():
        thread = line.split()[0]
        if (match := re.search(r"(pwrite64|fdatasync)\(\d+<[^>]*/(shard-\d\d\.json)>", line)) is not None:
            if match[1] == "pwrite64":
                written.add(match[2])
                unsynced.add(match[2])
            elif "unfinished" in line:
                begun[thread] = match[2]
            else:
                unsynced.discard(match[2])
        elif "fdatasync resumed" in line:
            unsynced.discard(begun.pop(thread))
        elif '"answered"' in line:
            answered += 1
            assert not unsynced
    assert answered == 20
    assert len(written) == 8


def test_the_name_of_a_new_store_is_on_the_disk_before_anything_is_answered(tmp_path: Path) -> None:
    need_strace()
    trace = tmp_path / "trace"
    parent = tmp_path / "stores"
    parent.mkdir()
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=mkdir,rename,fsync,write"]
    command += [sys.executable, "-c", PUTS, f"sharded-json:///{parent}/queue.d"]
    subprocess.run(command, check=True, timeout=110, stderr=subprocess.DEVNULL)
    lines = trace.read_text().splitlines()
    made = next(n for n, line in enumerate(lines) if "mkdir(" in line and "queue.d" in line)
    named = next(n for n, line in enumerate(lines) if "rename(" in line and "manifest.json" in line)
    answered = next(n for n, line in enumerate(lines) if '"answered"' in line)
    assert any("fsync(" in line and f"<{parent}>" in line for line in lines[made:answered])
    assert any("fsync(" in line and f"<{parent}/queue.d>" in line for line in lines[named:answered])
