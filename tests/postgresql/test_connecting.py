"""What is asked of libpq for a URL."""

from __future__ import annotations

import psycopg
import pytest

from distqueue.errors import ConfigError
from distqueue.opening import migrate_store, open_broker
from distqueue.options import convert_options
from distqueue.urls import parse_url
from distqueue_backends.postgresql.backend import PostgresBackend
from distqueue_backends.postgresql.conninfo import parameters
from distqueue_backends.postgresql.options import PostgresOptions
from tests.servers.postgresql import Server


def asked(text: str) -> dict[str, str | int]:
    url = parse_url(text)
    return parameters(url, convert_options(PostgresOptions, url.query, owner="postgresql"))


@pytest.mark.parametrize("place", ["db.example.org", "10.0.0.7:5433", "[2001:db8::1]"])
def test_a_remote_server_has_to_speak_tls(place: str) -> None:
    assert asked(f"postgresql://app@{place}/shop")["sslmode"] == "require"
    assert asked(f"postgresql://app@{place}/shop?sslmode=verify-full")["sslmode"] == "verify-full"
    assert "sslmode" not in asked(f"postgresql://app@{place}/shop?tls=off")


@pytest.mark.parametrize("place", ["", "localhost", "127.0.0.1:5433", "[::1]"])
def test_a_server_on_this_machine_need_not(place: str) -> None:
    assert "sslmode" not in asked(f"postgresql://{place}/shop")


def test_of_several_servers_it_is_the_one_that_takes_writes() -> None:
    two = asked("postgresql://app@db1.example.org:5433,db2.example.org/shop")
    assert (two["host"], two["port"]) == ("db1.example.org,db2.example.org", "5433,")
    assert (two["target_session_attrs"], two["sslmode"]) == ("primary", "require")
    assert "port" not in asked("postgresql://db1.example.org,db2.example.org/shop")
    assert "sslmode" not in asked("postgresql://127.0.0.1:5433,[::1]:5434/shop")
    assert asked("postgresql://127.0.0.1:5433,10.0.0.7/shop")["sslmode"] == "require"


def test_what_the_url_says_of_tls_holds_for_every_server() -> None:
    assert asked("postgresql://127.0.0.1/shop?sslmode=verify-full")["sslmode"] == "verify-full"
    with pytest.raises(ConfigError, match="exclude each other"):
        asked("postgresql://db.example.org/shop?sslmode=verify-full&tls=off")


def test_what_the_url_does_not_say_is_left_to_libpq() -> None:
    assert {"host", "port", "user", "password", "dbname"}.isdisjoint(asked("postgresql:///"))
    assert asked("postgresql:///shop?host=/run/postgresql")["host"] == "/run/postgresql"


@pytest.mark.parametrize("schema", ["Shop", "1st", "pg_shop", 'a"b', "a-b", "", "x" * 64])
def test_a_schema_has_a_plain_name(schema: str) -> None:
    with pytest.raises(ConfigError, match="schema is"):
        open_broker("postgresql://127.0.0.1/shop", schema=schema)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'sslmode'"):
        open_broker("postgresql://127.0.0.1/shop?ssl_mode=require")


def test_a_database_that_does_not_sync_is_made_to(url: str, other: psycopg.Connection) -> None:
    other.autocommit = True
    other.execute(f'ALTER DATABASE "{other.info.dbname}" SET synchronous_commit = off'.encode())
    try:
        place = parse_url(url)
        options = convert_options(PostgresOptions, place.query, owner="postgresql")
        backend = PostgresBackend.open(place, options, create=True)
        shown = backend.session.execute("SELECT current_setting('synchronous_commit')")
        backend.close()
    finally:
        other.execute(f'ALTER DATABASE "{other.info.dbname}" RESET synchronous_commit'.encode())
    assert shown == [("on",)]


def test_a_server_that_is_told_not_to_sync_any_more_goes_on(own_postgres: Server) -> None:
    """A configuration that is loaded again reaches the sessions that are there."""
    migrate_store(f"{own_postgres.url}?schema=synced")
    place = parse_url(f"{own_postgres.url}?schema=synced")
    backend = PostgresBackend.open(place, PostgresOptions(schema="synced"), create=True)
    with psycopg.connect(own_postgres.url, autocommit=True) as admin:
        try:
            admin.execute("ALTER SYSTEM SET synchronous_commit = off")
            admin.execute("SELECT pg_reload_conf()")
            shown: list[tuple[object, ...]] = []
            while not shown or shown[0][1] != "off":  # until the reload has reached this session
                shown = backend.session.execute(
                    "SELECT current_setting('synchronous_commit'), "
                    "(SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit')"
                )
        finally:
            admin.execute("ALTER SYSTEM RESET synchronous_commit")
            admin.execute("SELECT pg_reload_conf()")
            backend.close()
    assert shown == [("on", "off")]
