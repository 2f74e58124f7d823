"""Handlers are run, their failures counted, and what they say about their task is done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from distqueue import TaskState
from tests.worker.conftest import APP, Bench, wait_until

pytestmark = pytest.mark.slow

SAY = """

@app.task
def say(word: str) -> None:
    for _ in range(300):
        print(word, "and", word)
    print(word, end=".\\n", flush=True)
"""


def test_what_was_enqueued_is_run_once_and_is_gone(bench: Bench) -> None:
    ids = bench.put("work", count=20) + bench.put("work_async", count=20)
    bench.run()
    assert sorted(note.task_id for note in bench.notes("end")) == sorted(ids)
    assert [note.attempt for note in bench.notes("end")] == [1] * 40
    stats = bench.queue.stats()
    assert (stats.ready, stats.leased, stats.scheduled, stats.dead) == (0, 0, 0, 0)


def test_a_failure_is_retried_until_no_attempt_is_left(bench: Bench) -> None:
    (task_id,) = bench.put("fail")
    worker = bench.start()
    wait_until(lambda: bench.queue.stats().dead == 1, bench.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert [note.attempt for note in bench.notes()] == [1, 2, 3]
    found = bench.queue.find(task_id)
    assert found is not None
    assert found.error == "ValueError: ValueError is wrong"
    assert [one.attempt for one in found.failures] == [1, 2, 3]
    assert all("in fail\n" in str(one.traceback) for one in found.failures)


def test_a_handler_decides_itself_what_becomes_of_its_task(lite: Bench) -> None:
    (rejected,) = lite.put("fail", kind="reject")
    (later,) = lite.put("fail", kind="later")
    (left,) = lite.put("fail", kind="exit")
    worker = lite.start()
    wait_until(lambda: lite.queue.stats().dead == 3, lite.log)
    worker.terminate()
    assert worker.wait(30) == 0
    attempts = [(note.task_id, note.attempt) for note in lite.notes()]
    assert [attempt for task_id, attempt in attempts if task_id == rejected] == [1]
    assert [attempt for task_id, attempt in attempts if task_id == later] == [1, 2, 3]
    assert [attempt for task_id, attempt in attempts if task_id == left] == [1, 2, 3]
    errors = {record.task_id: record.error for record in lite.queue.dead()}
    assert errors == {rejected: "there is no such customer", later: "not yet", left: "SystemExit: 3"}


def test_the_policy_says_which_exceptions_are_worth_another_attempt(lite: Bench) -> None:
    (refused,) = lite.put("fussy", error="refused")
    (reset,) = lite.put("fussy", error="reset")
    (value,) = lite.put("fussy", error="value")
    worker = lite.start()
    wait_until(lambda: lite.queue.stats().dead == 3, lite.log)
    worker.terminate()
    assert worker.wait(30) == 0
    ran = [note.task_id for note in lite.notes()]
    assert {task_id: ran.count(task_id) for task_id in ran} == {refused: 2, reset: 1, value: 1}


def test_a_burst_takes_all_of_a_group_though_one_at_a_time(bench: Bench) -> None:
    for _ in range(12):
        bench.queue.put({"task": "work", "args": {"seconds": 0.01}}, group="album")
    bench.run("-c", "4", "--processes", "2")
    assert len(bench.notes("end")) == 12


def test_follow_ups_are_stored_with_the_ack(bench: Bench) -> None:
    bench.put("chain", left=3)
    bench.run()
    assert len(bench.notes("begin")) == 4 + 3
    assert len(bench.notes("end")) == 3


def test_follow_ups_of_a_store_that_hands_out_what_it_was_given(tmp_path: Path) -> None:
    bench = Bench(tmp_path, f"json:///{tmp_path}/Queue.json")
    try:
        bench.put("chain", left=6)
        bench.run()
        assert len(bench.notes("end")) == 6
    finally:
        bench.close()


def test_a_follow_up_that_cannot_be_written_fails_its_task(lite: Bench) -> None:
    (task_id,) = lite.put("follow_with_half_a_character")
    lite.run()
    found = lite.queue.find(task_id)
    assert found is not None
    assert found.state is TaskState.DEAD
    assert "surrogates not allowed" in str(found.error)


def test_an_unknown_name_is_left_to_a_worker_that_knows_it(bench: Bench) -> None:
    stranger = bench.queue.put({"task": "of_another_app", "args": {}}).task_id
    plain = bench.queue.put("put without an app").task_id
    bench.put("work")
    bench.run()
    assert len(bench.notes("end")) == 1
    for task_id in (stranger, plain):
        found = bench.queue.find(task_id)
        assert found is not None
        assert (found.state, found.attempt) == (TaskState.SCHEDULED, 1)
    assert "'of_another_app'" in bench.log.read_text()


def test_arguments_that_do_not_fit_are_a_failure_like_any_other(lite: Bench) -> None:
    stored = lite.queue.put({"task": "work", "args": {"hours": 3}}, max_attempts=1)
    lite.run()
    found = lite.queue.find(stored.task_id)
    assert found is not None
    assert found.state is TaskState.DEAD
    assert "unknown field `hours`" in str(found.error)


def test_queues_are_taken_in_the_order_given(lite: Bench) -> None:
    payload = {"task": "work", "args": {}}
    with_name = {
        name: [lite.queue.put(task).task_id for task in [lite.queue.task(payload) for _ in range(5)]]
        for name in ("default",)
    }
    from distqueue import Queue

    with Queue(lite.url, "first") as first:
        with_name["first"] = [first.put(payload).task_id for _ in range(5)]
    lite.run("-q", "first", "-q", "default", "-c", "1")
    assert [note.task_id for note in lite.notes("end")] == with_name["first"] + with_name["default"]


def test_a_task_that_names_no_handler_is_told_from_one_whose_handler_is_missing(lite: Bench) -> None:
    stored = lite.queue.put({"to": "a"})
    lite.run()
    assert f"task {stored.task_id} in queue default names no handler" in lite.log.read_text()


def test_of_a_long_unknown_name_the_log_says_the_beginning(lite: Bench) -> None:
    lite.queue.put({"task": "strange" * 10_000, "args": {}})
    lite.run()
    assert "no handler here is named 'strange" in lite.log.read_text()
    assert len(lite.log.read_text()) < 2_000


def test_what_handlers_print_at_once_stays_in_whole_lines(lite: Bench) -> None:
    (lite.directory / "jobs.py").write_text(APP + SAY)
    words = ["alpha", "beta", "gamma", "delta"]
    for word in words:
        lite.put("say", word=word)
    lite.run("-c", "4")
    said = Counter(line for line in lite.log.read_text().splitlines() if any(word in line for word in words))
    assert said == Counter({f"{word} and {word}": 300 for word in words} | {f"{word}.": 1 for word in words})
