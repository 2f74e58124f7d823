"""What is the SQLite backend's own: its file, its syncs, its connections, its place beside other programs."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from distqueue import Queue, StoreBusy, StoreDamaged, StoreError, StoreMissing
from distqueue.errors import BatchRefused, InvalidTask, UnsupportedFormat
from distqueue.results import Stored
from tests.sqlite.programs import Program, programs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


SHELL = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    for statement in sys.argv[2:]:
        rows = connection.execute(statement).fetchall()
print(rows)
"""


def shell(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Return what another program sees: a connection in this process could drop the locks of the store."""
    out = subprocess.run(
        [sys.executable, "-c", SHELL, str(path), *statements], capture_output=True, text=True, check=True
    )
    rows: list[tuple[object, ...]] = eval(out.stdout, {"__builtins__": {}})  # noqa: S307 - our own output
    return rows


def test_the_file_is_readable_by_other_means_as_the_page_says(path: Path, url: str) -> None:
    with Queue(url, name="emails") as queue:
        queue.put({"to": "a@example.org"}, task_id="one", priority=3)
        queue.put("later", task_id="two", delay=3600)
        rows = shell(path, "SELECT queue, id, state, priority, data FROM distqueue_readable ORDER BY number")
    assert rows == [
        ("emails", "one", "ready", 3, '{"to":"a@example.org"}'),
        ("emails", "two", "scheduled", 0, '"later"'),
    ]


def test_other_programs_cannot_write_a_state_that_there_is_not(path: Path, url: str) -> None:
    with Queue(url) as queue:
        queue.put("a task", task_id="one")
        with pytest.raises(subprocess.CalledProcessError):
            shell(path, "UPDATE distqueue_tasks SET state = 'nowhere'")
        assert [task.task_id for task in queue.peek()] == ["one"]


def test_only_its_owner_may_read_it(path: Path, url: str) -> None:
    before = os.umask(0)
    try:
        with Queue(url) as queue:
            queue.put("secret")
            modes = {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {0o600}


def test_a_store_that_is_not_there(url: str) -> None:
    with Queue(url, create=False) as queue, pytest.raises(StoreMissing, match="no store at"):
        queue.stats()


def test_what_is_no_database(path: Path, url: str) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with Queue(url) as queue, pytest.raises(StoreDamaged):
        queue.stats()
    assert path.read_bytes().startswith(b"not a database")


def test_a_database_of_the_application_keeps_what_is_its_own(path: Path, url: str) -> None:
    shell(path, "CREATE TABLE tasks (name)", "INSERT INTO tasks VALUES ('theirs')", "PRAGMA user_version = 7")
    with Queue(url, create=False) as queue, pytest.raises(StoreMissing, match="no tables of distqueue"):
        queue.stats()
    with Queue(url) as queue:
        queue.put("x")
    assert shell(path, "SELECT * FROM tasks") == [("theirs",)]
    assert shell(path, "PRAGMA user_version") == [(7,)]
    assert shell(path, "PRAGMA application_id") == [(0,)]


def test_a_store_of_a_newer_release_is_refused(path: Path, url: str) -> None:
    with Queue(url) as queue:
        queue.put("x")
    shell(path, "UPDATE distqueue_store SET version = 99")
    with Queue(url) as queue, pytest.raises(UnsupportedFormat, match="99"):
        queue.put("x")


def test_a_store_that_does_not_say_its_version_is_damaged(path: Path, url: str) -> None:
    with Queue(url) as queue:
        queue.put("x")
    shell(path, "DELETE FROM distqueue_store")
    with Queue(url) as queue, pytest.raises(StoreDamaged, match="version"):
        queue.put("x")


def test_a_link_is_refused(path: Path, url: str) -> None:
    other = path.with_name("other.db")
    other.touch()
    path.symlink_to(other)
    with Queue(url) as queue, pytest.raises(StoreError, match="plain file"):
        queue.put("x")


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("holding", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


HOLDER = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("holding", flush=True)
    sys.stdin.readline()
"""


def test_nothing_is_written_without_the_lock(path: Path, url: str) -> None:
    with Queue(url, lock_timeout=0.2) as queue:
        queue.put("before")
        command = [sys.executable, "-c", HOLDER, f"{path}.lock"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "holding\n"
            with pytest.raises(StoreBusy, match=str(holder.pid)):
                queue.put("meanwhile")
            holder.communicate("\n")
        queue.put("after")
        assert queue.stats().ready == 2


def test_another_program_that_writes_too_long_makes_it_busy(path: Path, url: str) -> None:
    with Queue(url, lock_timeout=0.2) as queue:
        queue.put("before")
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdin is not None
            assert writer.stdout.readline() == "holding\n"
            with pytest.raises(StoreBusy, match="another program's transaction"):
                queue.put("meanwhile")
            writer.stdin.write("\n")
            writer.stdin.flush()
            writer.wait(20)
        queue.put("after")
        assert queue.stats().ready == 2


def test_a_database_that_was_moved_is_not_written_any_more(path: Path, url: str) -> None:
    with Queue(url) as queue, Queue(url) as other:
        queue.put("before")
        other.put("before")
        for each in path.parent.glob("queue.db*"):
            each.rename(path.parent / f"moved-{each.name}")
        with pytest.raises(StoreMissing, match="nothing was stored"):
            queue.put("lost")
        with Queue(url) as new:
            new.put("in the new one")
        other.put("in the new one, too")
        assert queue.stats().ready == 2
    assert shell(path.parent / "moved-queue.db", "SELECT count(*) FROM distqueue_readable") == [(2,)]


INTERRUPTED = """
import os, signal, sys, threading, time
from distqueue import Queue
def interrupt():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.3)
    print("let go", flush=True)
with Queue(sys.argv[1]) as queue:
    queue.put("before")
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        threading.Thread(target=interrupt).start()
        queue.put("interrupted")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    queue.put("after")
    sys.stdin.readline()
"""


def test_an_interrupted_call_leaves_no_transaction_open(path: Path, url: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "holding\n"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "let go\n"
        writer.communicate("\n")
        assert process.stdout.readline() == "interrupted\n"
        with Queue(url, lock_timeout=5) as queue:
            queue.put("of another process")
        process.communicate("\n")
        assert process.returncode == 0


def test_what_cannot_be_bound_is_refused_by_itself(url: str) -> None:
    with Queue(url) as queue:
        tasks = [queue.task("a"), queue.task("b", max_attempts=2**70), queue.task("c")]
        with pytest.raises(BatchRefused) as refused:
            queue.put_many(tasks)
        assert [type(each) for each in refused.value.outcomes] == [Stored, InvalidTask, Stored]
        with pytest.raises(InvalidTask):
            queue.find("\udcff")
        assert queue.stats().ready == 2


def test_a_store_that_nobody_has_open_is_whole_in_its_file(path: Path, url: str) -> None:
    with Queue(url) as queue, Queue(url) as other:
        queue.put("one")
        other.put("two")
    assert path.with_name("queue.db-wal").stat().st_size == 0
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    with Queue(f"sqlite:///{copy}") as queue:
        assert queue.stats().ready == 2


def test_short_lived_programs_do_not_let_the_log_grow(path: Path, url: str) -> None:
    for _ in range(25):
        with Queue(url) as queue:
            queue.put("x" * 100_000)
    assert path.with_name("queue.db-wal").stat().st_size < 2 * 1024 * 1024


def test_a_fork_leaves_both_with_a_connection_of_their_own(path: Path, url: str) -> None:
    with Queue(url) as queue:
        queue.put("of the parent", task_id="parent")
        child = os.fork()
        if child == 0:
            try:
                opened = {os.readlink(each.path) for each in os.scandir("/proc/self/fd") if each.is_symlink()}
                assert not any(name.startswith(str(path)) for name in opened if not name.endswith(".bell"))
                queue.put("of the child", task_id="child")
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the parent has to know
                os._exit(1)
        queue.put("of the parent again")
        assert os.waitpid(child, 0)[1] == 0
        assert queue.stats().ready == 3
        assert queue.find("child") is not None


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    connection.execute(line)
    print(connection.execute("SELECT count(*) FROM distqueue_tasks").fetchone()[0], flush=True)
"""
LONG_LOG = 8 << 20
"""The log may be so long; what the tests put is half as much again."""


def put_long(queue: Queue, other: Queue) -> None:
    for _ in range(25):
        queue.put_many(["x" * 20_000] * 8)
        other.put_many(["x" * 20_000] * 8)


def test_the_log_is_taken_over_when_all_together_have_made_it_long(path: Path, url: str) -> None:
    log = path.with_name("queue.db-wal")
    with Queue(url) as queue, Queue(url) as other:
        for _ in range(4):
            put_long(queue, other)
            assert log.stat().st_size < LONG_LOG
        assert queue.stats().ready == 1600


def test_a_log_that_somebody_reads_grows_and_begins_anew_afterwards(path: Path, url: str) -> None:
    log = path.with_name("queue.db-wal")
    with Queue(url) as queue, Queue(url) as other:
        queue.put("first")
        reader = Program(READER, str(path))
        with programs(reader):
            assert reader.ask("BEGIN") == "1"
            put_long(queue, other)
            grown = log.stat().st_size
            assert grown > LONG_LOG
            assert reader.ask("COMMIT") == "401"
            for _ in range(3):
                put_long(queue, other)
        assert log.stat().st_size < grown + LONG_LOG


def test_a_full_disk_is_a_refusal_and_loses_nothing(path: Path, url: str) -> None:
    script = """
import resource, signal, sys
from distqueue import Queue, StoreFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Queue(sys.argv[1]) as queue:
    queue.put("x" * 1000, task_id="first")
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    stored = refused = 0
    for n in range(400):
        try:
            queue.put("x" * 1000, task_id=f"task{n}")
            stored += 1
        except StoreFull:
            refused += 1
    assert stored and refused, (stored, refused)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    queue.put("y", task_id="last")
    assert queue.stats().ready == stored + 2
"""
    subprocess.run([sys.executable, "-c", script, url], check=True, timeout=60)
    assert shell(path, "PRAGMA integrity_check") == [("ok",)]


def test_with_room_for_the_tasks_but_not_for_a_longer_log_all_can_be_done(path: Path, url: str) -> None:
    script = """
import os, resource, signal, sys
from distqueue import Queue
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Queue(sys.argv[1]) as queue:
    queue.put_many(["x" * 1000] * 100)
    deliveries = queue.get_many(100)
    longest = os.stat(sys.argv[2]).st_size + 20_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, resource.RLIM_INFINITY))
    for delivery in deliveries:
        delivery.ack()
        queue.put("y")
    assert queue.stats().ready == 100
"""
    subprocess.run([sys.executable, "-c", script, url, f"{path}-wal"], check=True, timeout=60)
    assert shell(path, "PRAGMA integrity_check") == [("ok",)]


KILLED = """
import sys
from distqueue import Queue
queue = Queue(sys.argv[1])
while True:
    print(queue.put("x").task_id, flush=True)
"""


def test_what_was_answered_outlives_a_kill(path: Path, url: str) -> None:
    for _ in range(5):
        command = [sys.executable, "-c", KILLED, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(30)]
            os.kill(process.pid, signal.SIGKILL)
            said += [line for line in process.stdout if line.endswith("\n")]
        with Queue(url) as queue:
            assert all(queue.find(line.strip()) for line in said)
        assert shell(path, "PRAGMA integrity_check") == [("ok",)]
