"""Forks that strike while another thread uses a store for the first time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PLUGIN = """
import time
import program
from distqueue.plugins import BackendSpec, hookimpl
from distqueue_backends.memory import MEMORY_CAPABILITIES, MemoryOptions

program.begun.set()
program.forking.wait()
time.sleep(program.SECONDS)

@hookimpl
def distqueue_backends():
    yield BackendSpec(
        schemes=("slow",), load="distqueue_backends.memory:MemoryBackend", contract="1",
        capabilities=MEMORY_CAPABILITIES, options=MemoryOptions, summary="A backend that is imported slowly",
    )
"""

PROGRAM = """
import os, signal, threading
import distqueue.forking
from distqueue import Queue

SECONDS = {seconds}
distqueue.forking.PATIENCE = {patience}
begun, forking = threading.Event(), threading.Event()

def main():
    opening = threading.Thread(target=Queue("slow://a").stats)
    opening.start()
    begun.wait()
    os.register_at_fork(before=forking.set)
    if not (pid := os.fork()):
        signal.alarm(20)
        with Queue({url!r}) as queue:
            queue.put(1)
        os._exit(0)
    opening.join()
    with Queue({url!r}) as queue:
        queue.put(2)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0)
"""


def fork_while_opening(folder: Path, url: str, *, seconds: float, patience: float = 10.0) -> int:
    """Fork while a plugin is imported that takes so long; return 0 if parent and child could put."""
    info = folder / "slow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[distqueue.backends]\nslow = slow_plugin\n")
    (folder / "slow_plugin.py").write_text(PLUGIN)
    program = PROGRAM.format(url=url, seconds=seconds, patience=patience)
    (folder / "program.py").write_text(textwrap.dedent(program))
    command = [sys.executable, "-c", "import program; program.main()"]
    return subprocess.run(command, cwd=folder, timeout=60).returncode


def test_a_fork_waits_for_what_another_thread_imports(tmp_path: Path) -> None:
    assert fork_while_opening(tmp_path, "slow://b", seconds=0.2) == 0


def test_a_plugin_that_is_imported_for_ever_keeps_no_other_store_from_the_child(tmp_path: Path) -> None:
    url = f"json:///{tmp_path}/Queue.json"
    assert fork_while_opening(tmp_path, url, seconds=2.0, patience=0.1) == 0
