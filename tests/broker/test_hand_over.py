"""One URL: through the broker process while there is one, straight to the store when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from distqueue import BrokerGone, Queue, StoreBusy, StoreError, StoreServed
from distqueue.broker.door import Door
from distqueue.opening import examine_store, open_backend
from distqueue.supervisor import Supervisor
from distqueue.urls import parse_url

from .conftest import runs, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(params=["json:///{}/Queue.json", "sharded-json:///{}/queue.d"], ids=["json", "sharded-json"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not there yet."""
    return str(request.param).format(tmp_path)


def lock_file(url: str) -> Path:
    """Where the lock of a store is that says where it is served."""
    path = Path(parse_url(url).path)
    return path / "manifest.json.lock" if parse_url(url).scheme == "sharded-json" else Path(f"{path}.lock")


type Serve = Callable[..., Supervisor]
type ServeAlone = Callable[[], subprocess.Popen[str]]


def test_a_direct_client_goes_over_to_the_broker_process_and_back(url: str, serve: Serve) -> None:
    with Queue(url) as queue:
        queue.put("before")
        first = queue.get(timeout=0)
        supervisor = serve()
        queue.put("through")
        second = queue.get(timeout=0)
        assert first is not None
        assert second is not None
        first.ack()  # a receipt from before
        supervisor.stop()
        queue.put("after")
        second.ack()  # one that the broker process gave
        third = queue.get(timeout=0)
        assert third is not None
        assert third.data == "after"
        third.ack()
        assert queue.stats().remembered == 3


def test_another_process_of_the_same_url_is_woken_by_a_put(url: str, serve: Serve) -> None:
    serve()
    got: list[object] = []

    def wait() -> None:
        with Queue(url) as queue:
            delivery = queue.get(timeout=20)
            assert delivery is not None
            got.append(delivery.data)
            delivery.ack()

    thread = threading.Thread(target=wait)
    thread.start()
    with Queue(url) as queue:
        queue.put("wake up")
        thread.join(20)
    assert got == ["wake up"]


def test_one_that_waits_at_the_store_is_woken_through_the_broker_process(url: str, serve: Serve) -> None:
    got: list[object] = []
    with Queue(url) as waiting:
        waiting.stats()

        def wait() -> None:
            delivery = waiting.get(timeout=20)
            assert delivery is not None
            got.append(delivery.data)
            delivery.ack()

        thread = threading.Thread(target=wait)
        thread.start()
        serve()
        with Queue(url) as queue:
            queue.put("wake up")
        thread.join(20)
    assert got == ["wake up"]


def test_one_that_waits_goes_on_at_the_store_when_the_broker_process_is_stopped(
    url: str, serve_alone: ServeAlone
) -> None:
    process = serve_alone()
    got: list[float] = []

    def wait() -> None:
        with Queue(url) as waiting:
            delivery = waiting.get(timeout=20)
            assert delivery is not None
            delivery.ack()
            got.append(time.monotonic())

    with Queue(url) as queue:
        queue.stats()
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)  # it waits by now; else it finds the task at once
        process.terminate()
        process.wait()
        put_at = time.monotonic()
        queue.put("x")
        thread.join(20)
    assert got[0] - put_at < 8  # and not after the grace, as it was told


def test_a_killed_broker_process_that_nobody_starts_again_is_passed_by_after_the_grace(
    url: str, serve_alone: ServeAlone
) -> None:
    process = serve_alone()
    with Queue.over(Door(lambda: open_backend(parse_url(url)), grace=0.3)) as queue:
        queue.put("through")
        process.kill()
        assert not queue.put("direct").duplicate
        assert queue.stats().ready == 2


def test_what_a_dead_broker_process_left_in_the_lock_file_is_not_believed(
    url: str, serve_alone: ServeAlone
) -> None:
    process = serve_alone()
    assert b"served at" in lock_file(url).read_bytes()
    process.kill()
    process.wait()
    with Queue(url) as queue:
        queue.put("direct")
    assert lock_file(url).read_bytes() == b""


def test_an_open_client_does_not_believe_it_either(url: str, serve_alone: ServeAlone, tmp_path: Path) -> None:
    with Queue(url) as queue, Queue(url) as other:
        queue.put("before")
        other.stats()
        process = serve_alone()
        process.kill()
        process.wait()
        queue.put("direct")
        assert other.stats().ready == 2


def test_a_broker_process_takes_the_place_of_one_that_was_killed(
    url: str, serve_alone: ServeAlone, serve: Serve
) -> None:
    process = serve_alone()
    with Queue(url) as queue:
        queue.put("first")
        process.kill()
        process.wait()
        serve()
        queue.put("second")
        assert queue.stats().ready == 2


def test_two_broker_processes_do_not_serve_one_store(url: str, serve: Serve) -> None:
    serve()
    with pytest.raises(StoreServed, match="stop that first") as caught:
        serve()
    assert isinstance(caught.value, StoreBusy)


def test_a_store_is_not_examined_while_it_is_served(url: str, serve: Serve) -> None:
    serve()
    with pytest.raises(StoreServed, match="is served at"):
        examine_store(url)


def test_the_socket_has_a_url_of_its_own(url: str, serve: Serve, tmp_path: Path) -> None:
    supervisor = serve()
    with Queue(f"broker:///{supervisor.address}") as queue:
        assert not queue.put("x").duplicate
    supervisor.stop()
    with pytest.raises(BrokerGone, match="no broker process"), Queue(f"broker:///{tmp_path}/none") as queue:
        queue.put("x")


def test_a_clean_end_leaves_nothing_behind(url: str, serve: Serve) -> None:
    supervisor = serve()
    folder = Path(f"{parse_url(url).path}.broker")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "socket").stat().st_mode & 0o777 == 0o600
    supervisor.stop()
    assert not folder.exists()
    assert lock_file(url).read_bytes() == b""


def test_a_path_that_is_too_long_for_a_socket_gets_a_temporary_one(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    url = f"json:///{folder}/Queue.json"
    with Queue(url) as queue:
        queue.put("x")
    supervisor = Supervisor(parse_url(url), {})
    supervisor.start()
    try:
        assert len(supervisor.address) < 100
        assert os.stat(os.path.dirname(supervisor.address)).st_mode & 0o777 == 0o700
        with Queue(url) as queue:
            assert queue.stats().ready == 1
    finally:
        supervisor.stop()
    assert not os.path.exists(os.path.dirname(supervisor.address))


def test_the_manager_s_death_ends_the_broker_process(url: str) -> None:
    script = (
        "import sys, time\n"
        "from distqueue.supervisor import Supervisor\n"
        "from distqueue.urls import parse_url\n"
        "supervisor = Supervisor(parse_url(sys.argv[1]), {})\n"
        "supervisor.start()\n"
        "print(supervisor.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    manager = subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE, text=True)
    assert manager.stdout is not None
    pid = int(manager.stdout.readline())
    with Queue(url) as queue:
        queue.put("through")
        manager.kill()
        manager.wait()
        manager.stdout.close()
        wait_until(lambda: not runs(pid), "the end of a broker process without a manager")
        assert queue.stats().ready == 1


def test_what_is_at_the_socket_s_path_is_left_alone(url: str, serve: Serve, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(StoreError, match="is in the way"):
        serve(path=str(notes))
    assert notes.read_text() == "mine"


def test_the_socket_of_another_broker_process_is_left_alone(url: str, serve: Serve, tmp_path: Path) -> None:
    shared = str(tmp_path / "shared")
    serve(path=shared)
    other = Supervisor(parse_url(f"json:///{tmp_path}/Other.json"), {}, shared)
    with pytest.raises(StoreError, match="already"):
        other.start()
    with Queue(url) as queue, Queue(f"broker:///{shared}") as same:
        queue.put("x")
        assert same.stats().ready == 1
