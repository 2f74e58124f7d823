"""A pre-forked server: the queue is opened and used before the fork, and works in every worker."""

from __future__ import annotations

import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from distqueue import Queue
from tests.preforking import server

APPLICATION = """
import os
from distqueue import Queue

queue = Queue(os.environ["STORE"])
queue.put({"who": "before the fork"})

def application(environ, start_response):
    task_id = queue.put({"path": environ["PATH_INFO"], "pid": os.getpid()}).task_id
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {task_id}".encode()]
"""

WORKERS = 3


def get(url: str) -> tuple[int, str]:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - it is our own server
                pid, task_id = answer.read().decode().split()
        except (OSError, HTTPException):  # the worker that had the request was killed
            continue
        return int(pid), task_id


@pytest.mark.parametrize("store", ["json:///{}/Queue.json", "sqlite:///{}/queue.db"], ids=["json", "sqlite"])
def test_gunicorn_with_preload(store: str, tmp_path: Path) -> None:
    url = store.format(tmp_path)
    (tmp_path / "application.py").write_text(APPLICATION)
    served = server("application", tmp_path, "--threads=2", workers=WORKERS, STORE=url)
    with served as (parent, address), ThreadPoolExecutor(8) as pool:
        urls = [f"{address}/{number}" for number in range(150)]
        answers = list(pool.map(get, urls[:90]))
        os.kill(answers[0][0], signal.SIGKILL)  # a worker dies, and its successor is forked
        answers += pool.map(get, urls[90:])
        assert parent not in {pid for pid, _ in answers}
        with Queue(url) as queue:
            stored = {task.task_id: task.payload() for task in queue.peek(1000)}
    assert len(stored) >= 151
    for number, (pid, task_id) in enumerate(answers):
        assert stored[task_id] == {"path": f"/{number}", "pid": pid}
    assert len({pid for pid, _ in answers}) >= 2
