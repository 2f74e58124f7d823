"""Workers of more queues than they have room for."""

from __future__ import annotations

import pytest

from distqueue import Queue
from tests.worker.conftest import APP, Bench

pytestmark = pytest.mark.slow

MORE = """

for number in range(12):
    app.task(name=f"work_{number}", queue=f"queue-{number}")(lambda: note("end"))
"""


def put(bench: Bench, number: int) -> None:
    """Put a task into one of the queues."""
    with Queue(bench.url, f"queue-{number}") as queue:
        queue.put({"task": f"work_{number}", "args": {}})


@pytest.fixture
def several(bench: Bench) -> Bench:
    """An app with twelve queues besides its default one."""
    (bench.directory / "jobs.py").write_text(APP + MORE)
    return bench


def test_a_worker_of_many_queues_takes_from_each(several: Bench) -> None:
    worker = several.start("-c", "2")
    for times in range(1, 3):
        for number in range(12):
            put(several, number)
        several.wait_for_notes(12 * times, "end")
    worker.terminate()
    assert worker.wait(30) == 0


def test_the_room_that_is_left_is_for_any_queue(several: Bench) -> None:
    queues = [f"--queue=queue-{number}" for number in range(3)]
    worker = several.start("-c", "4", *queues, "--queue=default")
    several.put("until", path=str(several.directory / "go"), count=3)
    several.wait_for_notes(3)
    for times in range(1, 3):
        for number in range(3):
            put(several, number)
        several.wait_for_notes(3 * times, "end")
    several.release()
    several.wait_for_notes(6 + 3, "end")
    worker.terminate()
    assert worker.wait(30) == 0
