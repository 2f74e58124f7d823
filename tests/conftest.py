"""What holds for all tests."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.servers.chosen import new_store, own_postgres, postgres_url, stop_servers, with_query
from tests.servers.postgresql import Server

# A shell starts what runs in the background with SIGINT ignored, which child processes would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def shm(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if there is such a thing: for what is read back, not for what is synced."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="distqueue-") as directory:
        yield Path(directory)


@pytest.fixture(autouse=True)
def _no_assertion_is_swallowed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """``with delivery`` logs an exception and goes on; where it is a test's own, the test has failed."""
    yield
    for record in caplog.get_records("call"):
        if record.exc_info and isinstance(record.exc_info[1], AssertionError):
            raise record.exc_info[1]


@pytest.fixture(name="postgres_url", scope="session")
def _postgres_url() -> str:
    """The URL of a PostgreSQL database; a test that needs it is skipped where there is none."""
    return postgres_url()


@pytest.fixture(name="own_postgres", scope="session")
def _own_postgres() -> Server:
    """A PostgreSQL server that may be killed and started again."""
    return own_postgres()


@pytest.fixture
def postgres_schema(postgres_url: str) -> Iterator[str]:
    """The URL of a store in PostgreSQL that was not migrated; its schema is dropped at the end."""
    schema = f"t{uuid4().hex[:12]}"
    yield with_query(postgres_url, f"schema={schema}")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


@pytest.fixture(name="new_postgres")
def _new_postgres(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Makes stores in PostgreSQL, each in a schema of its own, and returns their URLs."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(new_store(postgres_url))


@pytest.fixture
def postgres_store(new_postgres: Callable[[], str]) -> str:
    """The URL of a store in PostgreSQL."""
    return new_postgres()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that nothing is left to one process alone in the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_unconfigure() -> None:
    """Stop the servers that tests have started."""
    stop_servers()
