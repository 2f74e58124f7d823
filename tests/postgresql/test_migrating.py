"""The tables of a store are made by ``distqueue migrate``, and by nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import psycopg
import pytest

from distqueue import Queue
from distqueue.errors import ConfigError, StoreMissing, Unsupported, UnsupportedFormat
from distqueue.opening import migrate_store
from distqueue_backends.postgresql import schema
from tests.servers.chosen import with_query


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
    url = with_query(postgres_url, f"schema={schema}")
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


def test_of_a_store_that_is_up_to_date_the_sql_is_a_comment(url: str) -> None:
    said = migrate_store(url, only_sql=True)
    assert said.before == said.after == schema.VERSION
    assert re.fullmatch(rf"-- .* has version {schema.VERSION}, there is nothing to do\n", said.sql)


def test_the_sql_is_that_from_the_version_of_the_database_on(
    url: str, postgres_url: str, version_2: None
) -> None:
    said = migrate_store(url, only_sql=True)
    assert (said.before, said.after) == (1, 2)
    assert said.sql.startswith("-- distqueue: schema ")
    assert "from version 1 to version 2\n" in said.sql
    assert "CREATE TABLE" not in said.sql
    carry_out(said.sql, postgres_url)
    assert migrate_store(url).before == 2


def test_the_sql_changes_nothing_where_the_version_is_another_one(
    url: str, postgres_url: str, version_2: None
) -> None:
    told, again = migrate_store(url, only_sql=True).sql, migrate_store(url, only_sql=True, since=0).sql
    carry_out(told, postgres_url)
    with pytest.raises(psycopg.errors.RaiseException, match="does not have version 1 any more"):
        carry_out(told, postgres_url)
    with pytest.raises(psycopg.errors.DuplicateTable):
        carry_out(again, postgres_url)
    assert migrate_store(url).before == 2


def carry_out(sql: str, server: str) -> None:
    """Give what was printed to the server, as ``psql`` does."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.encode())


NOWHERE: Final = "postgresql://me:secret@127.0.0.1:1/app?connect_timeout=0.1"


def test_a_version_is_named_where_nobody_is_asked(version_2: None) -> None:
    for since, starts in ((0, "from nothing to"), (1, "from version 1 to"), (2, "nothing to do")):
        said = migrate_store(NOWHERE, only_sql=True, since=since)
        assert (said.before, said.after, said.unasked) == (since, 2, "")
        assert starts in said.sql
    for since in (-1, 3):
        with pytest.raises(ConfigError, match=f"no version {since} to start from; use 0"):
            migrate_store(NOWHERE, only_sql=True, since=since)


def test_where_nobody_answers_the_sql_makes_all_tables_and_says_so() -> None:
    said = migrate_store(NOWHERE, only_sql=True)
    assert said.before == 0
    assert said.unasked.startswith("PostgreSQL cannot be reached")
    assert said.sql.startswith(
        f"-- distqueue: schema distqueue from nothing to version {schema.VERSION}\n-- P"
    )
    assert "secret" not in said.sql + said.unasked


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


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release with a second version of the tables, which programs with the first one can use, too."""
    name, text = "0002_note", "ALTER TABLE task ADD COLUMN note text;"
    read = schema._read
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (name,)))
    monkeypatch.setattr(schema, "VERSION", 2)
    monkeypatch.setattr(schema, "_read", lambda each: text if each == name else read(each))


OF_BEFORE: Final = """
import sys
from distqueue import Queue
with Queue(sys.argv[1]) as queue:
    for line in sys.stdin:
        queue.put(line.strip())
        delivery = queue.get(timeout=10)
        delivery.ack()
        print(delivery.data, flush=True)
"""


@contextmanager
def program_of_before(url: str) -> Iterator[Callable[[str], str]]:
    """A program with version 1 that puts what it is told, and handles the next task and tells it."""
    command = [sys.executable, "-c", OF_BEFORE, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        said, told = program.stdin, program.stdout
        assert said
        assert told

        def goes_on(text: str) -> str:
            print(text, file=said, flush=True)
            return told.readline().strip()

        yield goes_on
        said.close()


def test_programs_of_before_go_on_while_the_tables_become_newer(
    url: str, request: pytest.FixtureRequest
) -> None:
    with program_of_before(url) as before:
        assert before("a") == "a"
        request.getfixturevalue("version_2")
        with Queue(url) as queue, pytest.raises(UnsupportedFormat, match=r"has version 1.*needs 2"):
            queue.put(1)
        done = migrate_store(url)
        assert (done.before, done.after) == (1, 2)
        assert before("b") == "b"
        with Queue(url) as queue:
            queue.put("of the newer one")
            assert before("c") == "of the newer one"
            delivery = queue.get(timeout=10)
            assert delivery is not None
            delivery.ack()
        with program_of_before(url) as started_afterwards:
            assert started_afterwards("d") == "d"


def test_programs_of_before_are_refused_by_tables_that_say_so(
    url: str, other: psycopg.Connection, version_2: None
) -> None:
    migrate_store(url)
    other.execute("UPDATE store SET oldest = 2")
    other.commit()
    with Queue(url) as queue:
        queue.put(1)
    with program_of_before(url) as before:
        assert before("a") == ""


def test_new_tables_are_of_the_newest_version_at_once(empty: str, version_2: None) -> None:
    assert migrate_store(empty).before == 0
    again = migrate_store(empty)
    assert (again.before, again.after) == (2, 2)


def test_other_stores_have_nothing_to_migrate() -> None:
    with pytest.raises(Unsupported, match="nothing to migrate"):
        migrate_store("memory://")
