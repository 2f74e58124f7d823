"""The harness of the built-in backends: which files hold tasks, however a store is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from distqueue.conformance.harness import harness_for


@pytest.mark.parametrize(
    ("url", "holding", "beside"),
    [
        ("json:///{tmp}/Queue.json", "Queue.json Queue.json.tmp-1", "Queue.json.lock Queue.json.bell"),
        ("json:///{tmp}/tasks?lock_timeout=1", "tasks tasks.tmp-1", "tasks.lock tasks.bell other"),
        ("sharded-json:///{tmp}/queue.d", "0.json manifest.json 0.json.tmp-1", "queue.lock bell"),
        ("sqlite:///{tmp}/queue.db", "queue.db queue.db-wal", "queue.db-shm queue.db.lock queue.db.bell"),
        ("sqlite:///{tmp}/{name}.sqlite", "c0f1.sqlite c0f1.sqlite-wal", "c0f1.sqlite-shm queue.db"),
    ],
)
def test_the_files_that_hold_tasks_are_known_by_the_url(
    url: str, holding: str, beside: str, tmp_path: Path
) -> None:
    rig = harness_for(url)(url, tmp_path)
    try:
        assert [name for name in holding.split() if not rig.holds_tasks(f"/d/{name}")] == []
        assert [name for name in beside.split() if rig.holds_tasks(f"/d/{name}")] == []
    finally:
        rig.close()
