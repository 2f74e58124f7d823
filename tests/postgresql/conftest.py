"""A schema for each test, on the server of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest


@pytest.fixture
def empty(postgres_schema: str) -> str:
    """The URL of a store that was not migrated."""
    return postgres_schema


@pytest.fixture
def url(postgres_store: str) -> str:
    """The URL of a store."""
    return postgres_store


@pytest.fixture
def other(postgres_url: str, url: str) -> Iterator[psycopg.Connection]:
    """A connection of somebody else's, in the schema of the store."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"SET search_path = {url.rpartition('schema=')[2]}".encode())
        connection.commit()
        yield connection
        connection.rollback()
