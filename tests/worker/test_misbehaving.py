"""Handlers that break more than their own task, and a store that takes nothing, or says nothing."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from distqueue import Queue, TaskState
from tests.worker.conftest import APP, Bench, wait_until

pytestmark = pytest.mark.slow

MORE = """

class Wordless(RetryTask):
    def __str__(self):
        raise LookupError("no words for it")


ERRORS = {"delay": RetryTask("later", delay="soon"), "text": Wordless("")}


@app.task(max_attempts=1)
def fail_oddly(how: str) -> None:
    raise ERRORS[how]


@app.task(max_attempts=1)
async def fail_oddly_async(how: str) -> None:
    raise ERRORS[how]


@app.task(max_attempts=1)
def fork() -> None:
    note("begin")
    if child := os.fork():
        os.waitpid(child, 0)
        note("end")


@app.task(max_attempts=1)
async def stop_the_loop(how: str) -> None:
    async def leave():
        raise SystemExit(3)

    note("begin")
    match how:
        case "stop":
            asyncio.get_running_loop().stop()
        case "exit":
            other = asyncio.create_task(leave())
    await asyncio.sleep(60)


going = asyncio.Event()


@app.task(max_attempts=1)
async def return_with_the_loop() -> None:
    note("begin")
    await going.wait()
    note("end")


@app.task(max_attempts=1)
async def end_the_loop() -> None:
    going.set()  # the other one returns in the next turn of the loop, its last one
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
    await asyncio.sleep(60)


@app.task(max_attempts=1)
async def cancel_all(path: str) -> None:
    note("begin")
    wait_for(path)  # holds the loop: what comes meanwhile does not begin
    while len(asyncio.all_tasks()) < 2:
        await asyncio.sleep(0)
    for each in asyncio.all_tasks() - {asyncio.current_task()}:
        each.cancel()


@app.task(max_attempts=1)
def follow(count: int) -> None:
    current_delivery().then(*[work.task() for _ in range(count)])


@app.task(max_attempts=1)
def follow_twice() -> None:
    once = work.options(unique="once")
    current_delivery().then(once.task(1), once.task(2))


@app.task(queue="others")
def work_elsewhere() -> None:
    note("end")
"""


def odd(bench: Bench) -> Bench:
    """Give the app handlers that misbehave."""
    (bench.directory / "jobs.py").write_text(APP + MORE)
    return bench


@pytest.fixture
def rude(lite: Bench) -> Bench:
    """An app on sqlite, with handlers that misbehave."""
    return odd(lite)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Bench]:
    """An app on json through a broker process, the first that was started."""
    made = Bench(tmp_path, f"json:///{tmp_path}/Queue.json")
    made.spawn("serve")
    wait_until(lambda: "serving" in made.log.read_text(), made.log)
    yield made
    made.processes[0].send_signal(signal.SIGCONT)
    made.close()


def put(bench: Bench, task: str, **args: object) -> str:
    """Put a task that has one attempt, and return its id."""
    return bench.queue.put({"task": task, "args": args}, max_attempts=1).task_id


def error_of(bench: Bench, task_id: str) -> str:
    """Return why a task is dead."""
    found = bench.queue.find(task_id)
    assert found is not None
    assert found.state is TaskState.DEAD
    return str(found.error)


@pytest.mark.parametrize("task", ["fail_oddly", "fail_oddly_async"])
@pytest.mark.parametrize(("how", "error"), [("delay", "delay is 'soon'"), ("text", "no words for it")])
def test_what_cannot_be_said_of_an_exception_is_a_failure(
    rude: Bench, task: str, how: str, error: str
) -> None:
    task_id = put(rude, task, how=how)
    rude.run("-c", "1")
    assert error in error_of(rude, task_id)


def test_a_handler_that_returns_in_a_process_it_forked_has_ended_once(rude: Bench) -> None:
    put(rude, "fork")
    rude.put("work", count=3)
    rude.run("-c", "1")
    assert len(rude.notes("end")) == 4
    assert "returned in a process that it had forked" in rude.log.read_text()


@pytest.mark.parametrize("how", ["stop", "exit"])
def test_a_process_whose_event_loop_was_stopped_is_replaced(rude: Bench, how: str) -> None:
    task_id = put(rude, "stop_the_loop", how=how)
    worker = rude.start()
    wait_until(lambda: rude.queue.stats().dead == 1, rude.log)
    rude.put("work_async")
    rude.wait_for_notes(1, "end")
    worker.terminate()
    assert worker.wait(30) == 0
    assert "ended with exit code 1" in error_of(rude, task_id)
    assert "stopped the event loop" in rude.log.read_text()


def test_what_returned_as_the_event_loop_was_stopped_is_done(rude: Bench) -> None:
    done = put(rude, "return_with_the_loop")
    worker = rude.start("-c", "2")
    rude.wait_for_notes(1, "begin")
    stopped = put(rude, "end_the_loop")
    wait_until(lambda: rude.queue.stats().dead == 1, rude.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert "ended with exit code 1" in error_of(rude, stopped)
    assert rude.queue.find(done) is None
    assert len(rude.notes("end")) == 1


def test_a_handler_that_is_cancelled_before_it_begins_has_failed(rude: Bench) -> None:
    put(rude, "cancel_all", path=str(rude.directory / "go"))
    worker = rude.start("-c", "2")
    rude.wait_for_notes(1)
    second = put(rude, "work_async", seconds=60)
    wait_until(lambda: rude.queue.stats().leased == 2, rude.log)
    rude.release()
    wait_until(lambda: rude.queue.stats().dead == 1, rude.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert "cancelled before it began" in error_of(rude, second)


def test_follow_ups_that_no_call_could_take_fail_their_task_alone(bench: Bench) -> None:
    odd(bench)
    task_id = put(bench, "follow", count=10_000)
    bench.put("work", count=3)
    bench.run()
    assert "at most 10000" in error_of(bench, task_id)
    assert len(bench.notes("end")) == 3


def test_follow_ups_that_fit_into_a_call_each_are_settled_one_after_the_other(rude: Bench) -> None:
    for _ in range(3):
        put(rude, "follow", count=4_000)
    worker = rude.start("-c", "3", "-q", "default", "--grace", "0")
    wait_until(lambda: rude.queue.stats().remembered >= 3, rude.log)
    worker.terminate()
    worker.wait(30)
    assert "in one call" not in rude.log.read_text()


def test_follow_ups_that_the_store_refuses_fail_their_task(bench: Bench) -> None:
    odd(bench)
    task_id = put(bench, "follow_twice")
    worker = bench.start()
    wait_until(lambda: bench.queue.stats().dead == 1, bench.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert "unique key 'once'" in error_of(bench, task_id)


def test_a_queue_that_has_moved_does_not_keep_the_others_waiting(rude: Bench) -> None:
    worker = rude.start()
    rude.put("work")
    rude.wait_for_notes(1, "end")
    target = f"sqlite:///{rude.directory}/target.db"
    assert rude.spawn("move", rude.url, target, "-q", "default").wait(60) == 0, rude.log.read_text()
    wait_until(lambda: "queue default has moved" in rude.log.read_text(), rude.log)
    with Queue(rude.url, "others") as others:
        others.put_many([{"task": "work_elsewhere", "args": {}}] * 20)
    rude.wait_for_notes(1 + 20, "end")
    worker.terminate()
    assert worker.wait(30) == 0


def test_no_more_is_claimed_than_children_take_before_they_are_replaced(lite: Bench) -> None:
    lite.put("until", path=str(lite.directory / "go"), count=9)
    worker = lite.start("-c", "8", "--processes", "2", "--max-tasks", "1")
    most = 0

    def all_begun() -> bool:
        nonlocal most
        leased = lite.queue.stats().leased  # before what has begun is counted: that grows meanwhile
        begun = len(lite.notes("begin"))
        most = max(most, leased - begun)
        return begun == 8

    wait_until(all_begun, lite.log)
    lite.release()
    lite.wait_for_notes(9, "end")
    worker.terminate()
    assert worker.wait(30) == 0
    assert most <= 2


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_what_a_full_disk_does_not_take_is_settled_once_there_is_room(lite: Bench) -> None:
    (task_id,) = lite.put("until", path=str(lite.directory / "go"))
    worker = lite.start("-c", "1")
    lite.wait_for_notes(1)
    before = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    lite.release()
    wait_until(lambda: f"{task_id} (until) could not be settled yet" in lite.log.read_text(), lite.log)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, before)
    wait_until(lambda: lite.queue.find(task_id) is None, lite.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert len(lite.notes("begin")) == 1


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_what_a_full_disk_does_not_take_for_longer_than_the_lease_is_not_run_again(lite: Bench) -> None:
    (lite.directory / "distqueue.toml").write_text("[defaults]\nlease = 1.0\n")
    (task_id,) = lite.put("until", path=str(lite.directory / "go"))
    worker = lite.start("-c", "1")
    lite.wait_for_notes(1)
    before = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    lite.release()
    wait_until(lambda: "another consumer may get the task" in lite.log.read_text(), lite.log)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, before)
    wait_until(lambda: lite.queue.find(task_id) is None, lite.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert len(lite.notes("begin")) == 1
    assert f"task {task_id} (until) has been done here before" in lite.log.read_text()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_a_handler_that_broke_off_as_its_lease_was_lost_runs_again(lite: Bench) -> None:
    (lite.directory / "distqueue.toml").write_text("[defaults]\nlease = 1.0\n")
    (task_id,) = lite.put("until_lost")
    worker = lite.start("-c", "1")
    lite.wait_for_notes(1)
    before = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    lite.wait_for_notes(1, "lost")
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, before)
    lite.wait_for_notes(2)
    lite.queue.cancel(task_id)
    lite.wait_for_notes(2, "lost")
    worker.terminate()
    assert worker.wait(30) == 0


def test_a_worker_ends_though_its_broker_process_says_nothing(served: Bench) -> None:
    broker = served.processes[0]
    served.put("until", path=str(served.directory / "go"))
    worker = served.start("--grace", "0")
    served.wait_for_notes(1)
    os.kill(broker.pid, signal.SIGSTOP)
    served.release()
    wait_until(lambda: "done in" in served.log.read_text(), served.log)
    worker.terminate()
    assert worker.wait(60) == 0
    assert "the store does not answer" in served.log.read_text()


def test_a_worker_says_once_that_its_store_does_not_answer_and_when_it_does(served: Bench) -> None:
    broker = served.processes[0]
    (task_id,) = served.put("until", path=str(served.directory / "go"))
    worker = served.start("-c", "1")
    served.wait_for_notes(1)
    os.kill(broker.pid, signal.SIGSTOP)
    served.release()
    wait_until(lambda: "has not answered for 5 s" in served.log.read_text(), served.log)
    os.kill(broker.pid, signal.SIGCONT)
    wait_until(lambda: "the store answers again" in served.log.read_text(), served.log)
    wait_until(lambda: served.queue.find(task_id) is None, served.log)
    worker.terminate()
    assert worker.wait(30) == 0
    assert served.log.read_text().count("has not answered for 5 s") == 1


def test_an_idle_worker_says_that_it_waits_for_a_broker_process_that_was_killed(served: Bench) -> None:
    worker = served.start()
    served.put("work")
    served.wait_for_notes(1, "end")
    served.processes[0].kill()
    wait_until(lambda: "the broker process is gone: waiting" in served.log.read_text(), served.log)
    served.spawn("serve")
    served.put("work")
    served.wait_for_notes(2, "end")
    worker.terminate()
    assert worker.wait(30) == 0
    assert served.log.read_text().count("the broker process is gone: waiting") == 1
