"""Why each client has a pipe of its own (decision 2): a shared ``multiprocessing.Queue`` does not live on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

from distqueue import Queue
from distqueue.supervisor import Supervisor

_SHARED = """
import multiprocessing as mp, os, signal, sys, time

def broker(events, answers):
    while True:
        answers.put(events.get())

if __name__ == "__main__":
    context = mp.get_context("fork")
    events, answers = context.Queue(), context.Queue()
    first = context.Process(target=broker, args=(events, answers), daemon=True)
    first.start()
    events.put(1)
    assert answers.get(timeout=10) == 1
    while events._rlock.acquire(False):   # until it waits in get(), and so holds the lock of the reading end
        events._rlock.release()
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    second = context.Process(target=broker, args=(events, answers), daemon=True)
    second.start()
    events.put(2)
    try:
        answers.get(timeout=2)
        print("answered")
    except Exception:
        print("dead for everybody")
    events.cancel_join_thread()
    second.kill()
"""


def test_a_shared_queue_is_dead_once_its_reader_was_killed() -> None:
    done = subprocess.run([sys.executable, "-c", _SHARED], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "dead for everybody", done.stderr


def test_pipes_are_not(url: str, serve: Callable[..., Supervisor]) -> None:
    supervisor = serve()
    with Queue(url) as queue:
        for n in range(3):
            queue.put(n)
            pid = supervisor.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        queue.put(3)
        assert queue.stats().ready == 4
