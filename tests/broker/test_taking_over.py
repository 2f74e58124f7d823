"""What a client knows of its broker process, when another one takes over."""

from __future__ import annotations

from pathlib import Path

from distqueue import Queue
from distqueue.supervisor import Supervisor
from distqueue.urls import parse_url


def test_a_client_learns_what_the_next_one_declares(tmp_path: Path) -> None:
    url = f"json:///{tmp_path}/Queue.json"
    with Queue(url) as queue:
        for window in (100.0, 200.0):  # what somebody has changed, or an engine cannot do any more
            supervisor = Supervisor(parse_url(url), {"dedup_window": window})
            supervisor.start()
            try:
                queue.put(1)
                assert queue.capabilities().dedup_window == window
            finally:
                supervisor.stop()
