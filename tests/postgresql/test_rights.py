"""Roles that may not do something, and passwords that are shown to nobody."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import psycopg
import pytest
from psycopg import IsolationLevel

from distqueue import Queue
from distqueue.errors import DistqueueError, StoreBusy, StoreError, StoreFailed
from distqueue.opening import migrate_store
from distqueue_backends.postgresql import bells
from distqueue_backends.postgresql.schema import VERSION
from tests.broker.conftest import wait_until
from tests.servers.postgresql import Server

SECRET = "s3cret-of-the-role"


@pytest.fixture
def admin(own_postgres: Server) -> Iterator[psycopg.Connection]:
    """The owner of a store, and of a role that may do nothing."""
    migrate_store(f"{own_postgres.url}?schema=guarded")
    with psycopg.connect(own_postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE guest LOGIN PASSWORD '{SECRET}'".encode())
        yield admin
        admin.execute("DROP OWNED BY guest")
        admin.execute("DROP ROLE guest")


@pytest.fixture
def url(own_postgres: Server, admin: psycopg.Connection) -> str:
    """The store as the guest names it."""
    return f"postgresql://guest:{SECRET}@127.0.0.1:{own_postgres.port}/postgres?schema=guarded"


def test_a_role_is_told_what_it_has_to_be_granted(url: str, admin: psycopg.Connection) -> None:
    grants = re.compile("has to grant USAGE on it, SELECT, INSERT, UPDATE and DELETE on all tables in it")
    with pytest.raises(StoreFailed, match=grants):
        Queue(url).stats()
    admin.execute("GRANT USAGE ON SCHEMA guarded TO guest")
    admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA guarded TO guest")
    with Queue(url) as queue:
        assert queue.stats().ready == 0
        with pytest.raises(StoreFailed, match=grants):
            queue.put(1)


def test_with_what_it_says_a_role_can_use_a_store(url: str, admin: psycopg.Connection) -> None:
    admin.execute("GRANT USAGE ON SCHEMA guarded TO guest")
    admin.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA guarded TO guest")
    admin.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA guarded TO guest")
    with Queue(url) as queue:
        queue.put(1, group="g", unique="u", expires_in=60)
        queue.put(2, delay=600)
        delivery = queue.get(timeout=0)
        assert delivery is not None
        delivery.retry(delay=0, error="not yet")
        again = queue.get(timeout=0)
        assert again is not None
        again.reject("no")
        assert queue.redrive().count == 1
        queue.pause()
        queue.resume()
        assert queue.purge() == 2


def test_who_may_not_migrate_is_told_who_can(url: str) -> None:
    with pytest.raises(StoreError, match="`distqueue migrate --sql` prints"):
        migrate_store(url.replace("guarded", "new"))


def test_who_may_not_read_the_version_is_told_to_name_it(url: str) -> None:
    with pytest.raises(StoreError, match="permission denied for schema guarded; name it with --from"):
        migrate_store(url, only_sql=True)
    assert migrate_store(url, only_sql=True, since=VERSION).before == VERSION


def test_a_wrong_password_is_not_tried_again(url: str) -> None:
    with pytest.raises(StoreBusy, match="password authentication failed"):
        Queue(url.replace(SECRET, "wrong"), connect_timeout=3600).put(1)


def test_no_password_is_in_what_anybody_says(
    url: str, own_postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    changes = ("", "127.0.0.1>nowhere.invalid", "/postgres>/none", "guest:>nobody:", "guarded>other")
    for change in (
        *changes,
        f"{own_postgres.port}>1",
        f"{own_postgres.port}>1,127.0.0.1:2",
        "?>?sslmode=verify-ca&",
    ):
        old, _, new = change.partition(">")
        other = url.replace(old, new, 1) if old else url
        with Queue(other, connect_timeout=0.1) as queue:
            said.append(repr(queue))
            try:
                queue.put(1)
            except DistqueueError as error:
                said += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
        with suppress(DistqueueError):
            migrate_store(other, connect_timeout=0.1)
    assert len(said) > 30
    assert not [each for each in (*said, caplog.text) if SECRET in each]


@pytest.mark.parametrize("options", ["", "&listen=off"])
def test_what_a_role_has_by_default_changes_nothing(
    url: str, admin: psycopg.Connection, options: str
) -> None:
    """With ``listen=off`` each transaction says how it is to be, as none finds what the session was told."""
    admin.execute("GRANT CREATE ON DATABASE postgres TO guest")
    for setting in (
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "idle_in_transaction_session_timeout = '1min'",
        "search_path = nowhere",
        "bytea_output = escape",
        "extra_float_digits = -10",
    ):
        admin.execute(f"ALTER ROLE guest SET {setting}".encode())
    url = url.replace("guarded", f"of_guest{len(options)}") + options
    assert migrate_store(url).before == 0

    def work(queue: Queue) -> int:
        """Put and settle what all others do, too; return how many tasks were new."""
        new = 0
        for each in range(20):
            new += not queue.put(each, task_id=f"{each}").duplicate
            if (delivery := queue.get(timeout=0)) is not None:
                delivery.ack()
        return new

    with ThreadPoolExecutor(4) as threads, ExitStack() as opened:
        queues = [opened.enter_context(Queue(url)) for _ in range(4)]
        assert sum(threads.map(work, queues)) == 20
        assert queues[0].stats().remembered == 20
        connection = opened.enter_context(psycopg.connect(url.partition("?")[0]))
        connection.isolation_level, connection.read_only = IsolationLevel.READ_COMMITTED, False
        opened.enter_context(Queue(url, name="new")).put(1, connection=connection)


@pytest.mark.parametrize("options", ["", "&listen=off"])
def test_ids_are_forgotten_for_a_role_that_only_reads_by_default(
    url: str, admin: psycopg.Connection, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "TIDY_EVERY", 0.0)
    admin.execute("GRANT CREATE ON DATABASE postgres TO guest")
    admin.execute("ALTER ROLE guest SET default_transaction_read_only = on")
    url = url.replace("guarded", f"tidy{len(options)}") + options
    migrate_store(url)
    with Queue(f"{url}&dedup_window=0&dedup_max=0") as queue:
        queue.put(1)
        delivery = queue.get(timeout=0)
        assert delivery is not None
        delivery.ack()
        queue.put(2)  # what is put wakes who tidies up
        wait_until(lambda: queue.stats().remembered == 0, "the memory of an id to be tidied up")
