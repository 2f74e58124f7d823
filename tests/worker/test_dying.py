"""Handlers that take too long, crash, or hold the interpreter; children and workers that are killed."""

from __future__ import annotations

import os
import signal

import pytest

from distqueue import TaskState
from distqueue.conformance.forks import Process, stand_still
from distqueue_backends.lock import StoreLock
from tests.worker.conftest import Bench, alive, check_apart, children_of, wait_until

pytestmark = pytest.mark.slow


def stop(bench: Bench, worker: Process) -> None:
    """Let a worker stand still, but not while it keeps the files of its store locked for all others."""
    with StoreLock(f"{bench.directory}/jobs.db.lock", 10.0):
        stand_still(worker)


def test_a_timeout_kills_the_child_and_gives_back_what_else_it_ran(bench: Bench) -> None:
    (slow,) = bench.put("too_long", until=str(bench.directory / "never"))
    innocent = bench.put("until", path=str(bench.directory / "go"), count=3)
    worker = bench.start("-c", "4")
    wait_until(lambda: bench.queue.stats().dead == 1, bench.log)
    bench.release()
    wait_until(lambda: len(bench.notes("end")) == 3, bench.log)
    worker.terminate()
    assert worker.wait(30) == 0
    found = bench.queue.find(slow)
    assert found is not None
    assert (found.state, found.error) == (
        TaskState.DEAD,
        "the handler ran longer than its timeout of 0.4 s",
    )
    assert {note.task_id for note in bench.notes("end")} == set(innocent)
    assert {note.attempt for note in bench.notes("end")} == {1}
    check_apart(bench.notes())


def test_what_a_handler_has_started_ends_with_it(lite: Bench) -> None:
    lite.queue.put({"task": "start_something", "args": {}}, max_attempts=1)
    lite.run()
    (note,) = lite.notes()
    wait_until(lambda: not alive(int(note.what.removeprefix("started-"))), lite.log)


def test_an_async_handler_that_takes_too_long_is_cancelled_alone(lite: Bench) -> None:
    (slow,) = lite.put("too_long_async")
    lite.put("until", path=str(lite.directory / "go"))
    worker = lite.start("-c", "2")
    wait_until(lambda: lite.queue.stats().dead == 1, lite.log)
    lite.release()
    wait_until(lambda: len(lite.notes("end")) == 1, lite.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert [note.attempt for note in lite.notes() if note.task_id == slow] == [1, 2]
    assert len({note.pid for note in lite.notes()}) == 1


def test_a_task_that_kills_its_child_again_and_again_becomes_dead(bench: Bench) -> None:
    (task_id,) = bench.put("die")
    worker = bench.start()
    wait_until(lambda: bench.queue.stats().dead == 1, bench.log)
    bench.put("work")
    bench.wait_for_notes(1, "end")
    worker.terminate()
    assert worker.wait(30) == 0
    assert [note.attempt for note in bench.notes("begin") if note.task_id == task_id] == [1, 2, 3]
    found = bench.queue.find(task_id)
    assert found is not None
    assert "ended with exit code 7" in str(found.error)


def test_who_holds_the_interpreter_for_longer_than_its_lease_keeps_it(bench: Bench) -> None:
    (bench.directory / "distqueue.toml").write_text("[defaults]\nlease = 1.5\n")
    (task_id,) = bench.put("hold_the_interpreter", seconds=4)
    workers = [bench.start(), bench.start()]
    bench.wait_for_notes(1, "end")
    for worker in workers:
        worker.terminate()
        assert worker.wait(30) == 0
    assert [(note.what, note.task_id, note.attempt) for note in bench.notes()] == [
        ("begin", task_id, 1),
        ("end", task_id, 1),
    ]


def test_children_die_with_their_worker_whatever_they_do(lite: Bench) -> None:
    lite.put("hold_the_interpreter", seconds=600)
    worker = lite.start()
    (note,) = lite.wait_for_notes(1)
    worker.kill()
    worker.wait()
    try:
        wait_until(lambda: not alive(note.pid), lite.log, seconds=20)
    finally:
        if alive(note.pid):
            os.kill(note.pid, signal.SIGKILL)


def test_a_killed_worker_s_tasks_are_run_by_another_one(bench: Bench) -> None:
    (bench.directory / "distqueue.toml").write_text("[defaults]\nlease = 1.0\n")
    (task_id,) = bench.put("until", path=str(bench.directory / "go"))
    first = bench.start()
    bench.wait_for_notes(1)
    first.kill()
    first.wait()
    second = bench.start()
    bench.wait_for_notes(2)
    bench.release()
    bench.wait_for_notes(1, "end")
    second.terminate()
    assert second.wait(30) == 0
    assert [(note.task_id, note.attempt) for note in bench.notes("begin")] == [(task_id, 1), (task_id, 2)]


def test_a_handler_learns_that_its_lease_is_lost(lite: Bench) -> None:
    (lite.directory / "distqueue.toml").write_text("[defaults]\nlease = 0.5\n")
    (task_id,) = lite.put("until_lost")
    stopped = lite.start("-c", "1")
    lite.wait_for_notes(1)
    stop(lite, stopped)
    delivery = lite.queue.get(timeout=30, lease=60)
    assert delivery is not None
    assert (delivery.task_id, delivery.attempt) == (task_id, 2)
    os.kill(stopped.pid, signal.SIGCONT)
    lite.wait_for_notes(1, "lost")
    delivery.ack()
    stopped.terminate()
    assert stopped.wait(30) == 0
    assert "could not be settled" in lite.log.read_text()


def test_a_killed_child_costs_what_it_ran_an_attempt_and_is_replaced(bench: Bench) -> None:
    ids = bench.put("until", path=str(bench.directory / "go"), count=2)
    worker = bench.start("-c", "2")
    (first, _) = bench.wait_for_notes(2)
    os.kill(first.pid, signal.SIGKILL)
    bench.wait_for_notes(4)
    bench.release()
    bench.wait_for_notes(2, "end")
    worker.terminate()
    assert worker.wait(30) == 0
    assert sorted((note.task_id, note.attempt) for note in bench.notes("end")) == [
        (one, 2) for one in sorted(ids)
    ]


def test_each_process_has_its_share_and_no_more_is_claimed_than_runs(bench: Bench) -> None:
    bench.put("until", path=str(bench.directory / "go"), count=9)
    worker = bench.start("-c", "5", "--processes", "2")
    notes = bench.wait_for_notes(5)
    assert len({note.pid for note in notes}) == 2
    assert len(children_of(worker.pid)) == 2
    stats = bench.queue.stats()
    assert (stats.leased, stats.ready) == (5, 4)
    bench.release()
    bench.wait_for_notes(9, "end")
    worker.terminate()
    assert worker.wait(30) == 0


def test_a_worker_that_slept_for_longer_than_the_lease_runs_nothing_a_second_time(bench: Bench) -> None:
    (bench.directory / "distqueue.toml").write_text("[defaults]\nlease = 1.0\n")
    (task_id,) = bench.put("until", path=str(bench.directory / "go"))
    worker = bench.start("-c", "2")
    bench.wait_for_notes(1)
    stop(bench, worker)
    wait_until(lambda: bench.queue.stats().ready == 1, bench.log)
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: f"task {task_id} (until) still runs here" in bench.log.read_text(), bench.log)
    bench.release()
    wait_until(lambda: bench.queue.find(task_id) is None, bench.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert [note.what for note in bench.notes()] == ["begin", "end"]


def test_a_short_lease_is_warned_about(lite: Bench) -> None:
    (lite.directory / "distqueue.toml").write_text("[defaults]\nlease = 0.5\n")
    lite.put("work")
    lite.run()
    assert "the lease of queue default is 0.5 s" in lite.log.read_text()
