"""SIGTERM, the grace, a second signal; children that are replaced."""

from __future__ import annotations

import signal

import pytest

from tests.worker.conftest import Bench, wait_until

pytestmark = pytest.mark.slow


def test_what_runs_may_end_within_the_grace(bench: Bench) -> None:
    ids = bench.put("until", path=str(bench.directory / "go"), count=3)
    worker = bench.start("-c", "2", "--grace", "60")
    bench.wait_for_notes(2)
    worker.terminate()
    wait_until(lambda: "stopping" in bench.log.read_text(), bench.log)
    bench.release()
    assert worker.wait(30) == 0
    assert len(bench.notes("end")) == 2
    assert bench.queue.stats().ready == 1
    assert {note.task_id for note in bench.notes("end")} < set(ids)


def test_after_the_grace_it_is_given_back_without_an_attempt(bench: Bench) -> None:
    (task_id,) = bench.put("until", path=str(bench.directory / "go"))
    worker = bench.start("--grace", "0.2")
    bench.wait_for_notes(1)
    worker.terminate()
    assert worker.wait(30) == 7
    found = bench.queue.find(task_id)
    assert found is not None
    assert (str(found.state), found.attempt, found.deliveries) == ("ready", 1, 1)
    assert "1 handler had to be stopped" in bench.log.read_text()


def test_a_second_signal_ends_it_at_once(bench: Bench) -> None:
    bench.put("until", path=str(bench.directory / "go"), count=2)
    worker = bench.start("--grace", "600")
    bench.wait_for_notes(2)
    worker.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in bench.log.read_text(), bench.log)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(30) == 7
    stats = bench.queue.stats()
    assert (stats.ready, stats.leased, stats.dead) == (2, 0, 0)


def test_an_idle_worker_stops_at_once(bench: Bench) -> None:
    worker = bench.start()
    wait_until(lambda: "working on" in bench.log.read_text(), bench.log)
    worker.terminate()
    assert worker.wait(30) == 0


def test_a_child_is_replaced_after_so_many_tasks(lite: Bench) -> None:
    lite.put("work", count=7)
    lite.run("-c", "1", "--max-tasks", "3")
    pids = [note.pid for note in lite.notes("end")]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_a_child_is_replaced_when_it_takes_too_much_memory(lite: Bench) -> None:
    lite.put("grow", mebibytes=1)
    lite.put("grow", mebibytes=300)
    lite.put("work")
    lite.run("-c", "1", "--max-memory", "200")
    small, large, after = [note.pid for note in lite.notes("begin")]
    assert small == large != after


def test_what_is_wrong_with_the_app_is_said(lite: Bench) -> None:
    (lite.directory / "broken.py").write_text("import nowhere_to_be_found\n")
    (lite.directory / "deadly.py").write_text("import os\nos._exit(5)\n")
    (lite.directory / "private.py").write_text("from distqueue import App\napp = App('memory://')\n")
    for spec, message in (
        ("nowhere:app", "there is no module 'nowhere'"),
        ("jobs:application", "jobs has no 'application'"),
        ("jobs:note", "jobs:note is a function, not an App"),
        ("broken:app", "No module named 'nowhere_to_be_found' ("),
        ("broken:app", "broken.py:1)"),
        ("jobs.py:app", "jobs.py is a file; name its module: jobs:app"),
        ("deadly:app", "the process that tried ended with exit code 5"),
        ("private:app", "memory:// is in one process only"),
    ):
        assert lite.spawn("work", spec, "--burst").wait(30) == 1
        assert message in lite.log.read_text()


def test_a_worker_whose_store_has_moved_ends_and_says_where_it_is(lite: Bench) -> None:
    lite.put("work")
    worker = lite.start()
    lite.wait_for_notes(1, "end")
    there = f"json:///{lite.directory}/Queue.json"
    assert lite.spawn("move", lite.url, there).wait(60) == 0
    assert worker.wait(30) == 1
    assert f"queue default has moved to {there}" in lite.log.read_text()


def test_a_queue_that_no_handler_has_is_warned_of(lite: Bench) -> None:
    lite.run("-q", "defualt")
    assert "no handler of the app has queue 'defualt'; did you mean 'default'?" in lite.log.read_text()


def test_code_that_changes_is_taken_over(lite: Bench) -> None:
    worker = lite.start("--reload")
    lite.put("work")
    (before,) = lite.wait_for_notes(1, "end")
    app = lite.directory / "jobs.py"
    app.write_text(app.read_text() + "\n\n@app.task\ndef new() -> None:\n    note('new')\n")
    lite.put("new")
    (after,) = lite.wait_for_notes(1, "new")
    assert before.pid != after.pid
    worker.terminate()
    assert worker.wait(30) == 0
