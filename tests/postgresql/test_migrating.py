"""The tables of a store are made by ``distqueue migrate``, and by nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from distqueue import Queue
from distqueue.errors import StoreMissing, Unsupported, UnsupportedFormat
from distqueue.opening import migrate_store


def test_a_database_that_was_not_migrated_names_the_command(empty: str) -> None:
    with Queue(empty) as queue, pytest.raises(StoreMissing, match="run `distqueue migrate -u 'postgresql://"):
        queue.put(1)


def test_migrating_twice_is_the_same_as_once(empty: str) -> None:
    first, second = migrate_store(empty), migrate_store(empty)
    assert (first.before, first.after) == (0, second.after)
    assert second.before == second.after
    with Queue(empty) as queue:
        queue.put(1)
        assert queue.stats().ready == 1


def test_of_several_that_migrate_at_once_one_makes_the_tables(empty: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(migrate_store, [empty] * 6))
    assert sorted(each.before for each in made) == [0, *[made[0].after] * 5]


@pytest.mark.parametrize("schema", ["select", "order", "x" * 63])
def test_a_schema_may_have_the_name_of_a_key_word(postgres_url: str, schema: str) -> None:
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}schema={schema}"
    try:
        migrate_store(url)
        with Queue(url) as queue, psycopg.connect(postgres_url) as other:
            queue.put(1)
            queue.put(2, connection=other)
            other.commit()
            assert [delivery.data for delivery in queue.get_many(2, timeout=0)] == [1, 2]
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())


def test_the_sql_does_the_same(empty: str, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(migrate_store(empty, only_sql=True).sql.encode())
    assert migrate_store(empty).before == migrate_store(empty).after
    with Queue(empty) as queue:
        assert queue.put(1).task_id


@pytest.mark.parametrize(
    ("version", "oldest", "says"), [(0, 0, "run `distqueue migrate"), (99, 99, "upgrade")]
)
def test_a_schema_of_another_version_is_refused(
    url: str, other: psycopg.Connection, version: int, oldest: int, says: str
) -> None:
    other.execute("UPDATE store SET version = %s, oldest = %s", (version, oldest))
    other.commit()
    with Queue(url) as queue, pytest.raises(UnsupportedFormat, match=says):
        queue.put(1)


def test_a_newer_schema_that_this_distqueue_can_use_is_used(url: str, other: psycopg.Connection) -> None:
    other.execute("UPDATE store SET version = 99")
    other.commit()
    with Queue(url) as queue:
        assert queue.put(1).task_id


def test_other_stores_have_nothing_to_migrate() -> None:
    with pytest.raises(Unsupported, match="nothing to migrate"):
        migrate_store("memory://")
