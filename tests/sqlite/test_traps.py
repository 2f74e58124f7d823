"""The two traps of SQLite, each sprung without our measures, and then with them (docs/decisions/0008)."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from distqueue import Queue
from distqueue.errors import ConfigError, StoreError
from distqueue_backends.sqlite.driver import FIXED
from tests.json.tracing import need_strace
from tests.sqlite.programs import Program, programs, traced, wait_for

# --- One connection writes while another takes the log over ---------------------------------------

TAKES_OVER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("PRAGMA mmap_size = 100000000")
connection.execute("SELECT sum(length(data)) FROM t").fetchall()
print("ready", flush=True)
sys.stdin.readline()
connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
print("taken over", flush=True)
"""

WRITES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, data BLOB)")
connection.execute("CREATE INDEX IF NOT EXISTS i ON t (data)")

def write(rows):
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(rows):
        connection.execute("INSERT INTO t (data) VALUES (randomblob(3000))")
    connection.execute("COMMIT")

def take_over():
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

for line in sys.stdin:
    eval(line)
    print("done", flush=True)
"""


def integrity(path: Path) -> str:
    script = """
import sqlite3, sys
try:
    print(sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check(1)").fetchone()[0])
except sqlite3.DatabaseError as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(sqlite3.sqlite_version_info >= FIXED, reason="this SQLite is not affected any more")
def test_without_our_measures_a_write_while_the_log_is_taken_over_damages_the_database(
    tmp_path: Path,
) -> None:
    """One who takes over is held up after it has looked at the log, and before it looks how much is left."""
    need_strace()
    path, log = tmp_path / "bare.db", tmp_path / "trace"
    writer = Program(WRITES, str(path))
    with programs(writer):
        assert writer.ask("write(30) or take_over()") == "done"
        slow = Program(TAKES_OVER, str(path))
        with programs(slow):
            assert slow.hear() == "ready"
            assert writer.ask("write(60) or take_over()") == "done"
            with traced(
                slow.process.pid, log, "-e", "trace=munmap,fcntl", "-e", "inject=munmap:delay_enter=1500000"
            ):
                slow.tell("")
                wait_for(log, "F_WRLCK")  # of whoever takes the log over: the next thing it does is to look
                assert writer.ask("write(1)") == "done"
                assert slow.hear() == "taken over"
        lines = [f"write({rows})" for rows in (1, *[5] * 8)]
        is_noticed = any(
            writer.ask(line) != "done" for line in [*lines, "take_over() or write(80) or take_over()"]
        )
        assert is_noticed or integrity(path) != "ok"


PUTS = """
import sys
from distqueue import Queue
queue = Queue(sys.argv[1])
queue.put("before")
print("ready", flush=True)
for line in sys.stdin:
    queue.put_many(["x" * 5000] * int(line))
    print("done", flush=True)
"""


def test_with_our_measures_nobody_writes_while_the_log_is_taken_over(tmp_path: Path) -> None:
    need_strace()
    path, log = tmp_path / "queue.db", tmp_path / "trace"
    url = f"sqlite:///{path}"
    slow, other = Program(PUTS, url), Program(PUTS, url)
    with programs(slow, other):
        assert slow.hear() == other.hear() == "ready"
        with traced(slow.process.pid, log, "-e", "trace=pwrite64,flock"):
            assert slow.ask("900") == slow.ask("900") == slow.ask("900") == "done"
            assert other.ask("900") == "done"
        holds_it, takes_over = False, 0
        for line in log.read_text().splitlines():
            if "flock(" in line and f"{path}.lock" in line:
                holds_it = "LOCK_UN" not in line
            elif "pwrite64(" in line and f"<{path}>" in line:
                takes_over += 1
                assert holds_it
        assert takes_over
    assert integrity(path) == "ok"


# --- Two SQLite libraries in one process ----------------------------------------------------------

TWO_LIBRARIES = """
import sqlite3, sys
from pysqlite3 import dbapi2 as another
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE t SET data = 'mine'")
if sys.argv[2] == "both":
    other = another.connect(sys.argv[1])
    other.execute("SELECT * FROM t").fetchall()
    other.close()
print("in a transaction", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(("libraries", "is_let_in"), [("both", True), ("one", False)])
def test_without_our_measures_another_process_writes_into_a_transaction(
    libraries: str, is_let_in: bool, tmp_path: Path
) -> None:
    path = tmp_path / "bare.db"
    setup = Program(WRITES, str(path))
    with programs(setup):
        assert setup.ask("write(1)") == "done"
    program = Program(TWO_LIBRARIES, str(path), libraries)
    with programs(program):
        assert program.hear() == "in a transaction"
        connection = sqlite3.connect(path, isolation_level=None, timeout=0.1)
        if is_let_in:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE t SET data = 'theirs'")
        else:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                connection.execute("BEGIN IMMEDIATE")
        connection.close()


def test_with_our_measures_a_second_library_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/queue.db"
    with Queue(url) as queue:
        queue.put("x")
        with Queue(f"{url}?driver=pysqlite3") as other, pytest.raises(StoreError, match="same driver="):
            other.put("y")
        queue.put("z")
    with Queue(f"{url}?driver=pysqlite3") as other:
        other.put("now")
        assert other.stats().ready == 3
        with Queue(url) as queue, pytest.raises(StoreError, match=r"pysqlite3\.dbapi2"):
            queue.put("y")


def test_a_store_that_could_not_be_opened_is_free_for_another_library(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.write_bytes(b"no database" * 100)
    url = f"sqlite:///{path}"
    with Queue(url) as queue, pytest.raises(StoreError):
        queue.put("x")
    path.unlink()
    with Queue(f"{url}?driver=pysqlite3") as queue:
        queue.put("x")


def test_the_driver_is_one_of_two(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="driver"), Queue(f"sqlite:///{tmp_path}/q.db?driver=apsw") as queue:
        queue.put("x")
