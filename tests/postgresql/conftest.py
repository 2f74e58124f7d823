"""A schema for each test, on the server of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from distqueue.opening import migrate_store


@pytest.fixture
def empty(postgres_url: str) -> Iterator[str]:
    """The URL of a store that was not migrated."""
    schema = f"t{uuid4().hex[:12]}"
    yield f"{postgres_url}{'&' if '?' in postgres_url else '?'}schema={schema}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


@pytest.fixture
def url(empty: str) -> str:
    """The URL of a store."""
    migrate_store(empty)
    return empty


@pytest.fixture
def other(postgres_url: str, url: str) -> Iterator[psycopg.Connection]:
    """A connection of somebody else's, in the schema of the store."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"SET search_path = {url.rpartition('schema=')[2]}".encode())
        connection.commit()
        yield connection
        connection.rollback()
