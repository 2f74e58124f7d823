"""What the conformance suite can do to a PostgreSQL store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

import psycopg

from distqueue.conformance.harness import Harness
from distqueue.options import convert_options
from distqueue.urls import parse_url
from distqueue_backends.postgresql import bells
from distqueue_backends.postgresql.conninfo import application_name, parameters
from distqueue_backends.postgresql.options import PostgresOptions
from distqueue_backends.postgresql.schema import bring_up_to_date

_SAFETY_POLL: Final = bells.SAFETY_POLL
_NEVER: Final = 3600.0
_CLOCK: Final = (
    'CREATE OR REPLACE FUNCTION "{}".clock() RETURNS float8 LANGUAGE sql VOLATILE '
    "AS 'SELECT extract(epoch FROM clock_timestamp())::float8 + {}'"
)


class PostgresHarness(Harness):
    """Each store is a schema of its own, which is dropped at the end, with a clock that can be set.

    Who waits in this process does not look for itself: a wake-up that is missing would only be late then.
    """

    reasons: ClassVar[dict[str, str]] = {
        "restart_engine": "the server is not ours",
        "holds_tasks": "the server writes the files, which is another process",
    }

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        self._urls: list[str] = []
        self._offset = 0.0
        self._is_set = False
        """Whether the clock of any store was set, be it to what it was before."""
        vars(bells)["SAFETY_POLL"] = _NEVER

    def fresh_url(self) -> str:
        url = self.absent_url()
        schema = _options(url).schema
        with self.connect(url) as connection:
            connection.autocommit = True
            bring_up_to_date(connection, schema)
            if self._offset:
                self._set_clock(connection, schema)
        return url

    def use_again(self, url: str) -> None:
        """Take over an empty store that another harness has given away."""
        self._urls.append(url)

    def give_away(self, url: str) -> None:
        """Leave a store as it is at the end, but for the clock."""
        self._urls.remove(url)
        if self._is_set:
            with self._admin() as connection:
                connection.execute(_CLOCK.format(_options(url).schema, "0").encode())

    def absent_url(self) -> str:
        url = super().fresh_url()
        self._urls.append(url)
        return url

    def connect(self, url: str) -> psycopg.Connection[Any]:
        place = parse_url(url)
        return psycopg.connect(**parameters(place, _options(url)))  # type: ignore[arg-type]

    def advance(self, seconds: float) -> None:
        self._offset += seconds
        self._is_set = True
        with self._admin() as connection:
            for url in self._urls:
                self._set_clock(connection, _options(url).schema)

    def step_clock(self, seconds: float) -> None:
        self.advance(seconds)

    def cut_connections(self) -> None:
        with self._admin() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY(%s)",
                ([application_name(_options(url)) for url in self._urls],),
            )

    def engine(self) -> str:
        with self._admin() as connection:
            return f"PostgreSQL {'{}.{}'.format(*divmod(connection.info.server_version, 10_000))}"

    def close(self) -> None:
        vars(bells)["SAFETY_POLL"] = _SAFETY_POLL
        with self._admin() as connection:
            for schema in [_options(url).schema for url in self._urls]:
                connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())

    def _set_clock(self, connection: Any, schema: str) -> None:
        if connection.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone()[0]:
            connection.execute(_CLOCK.format(schema, repr(self._offset)).encode())

    def _admin(self) -> psycopg.Connection[Any]:
        connection = self.connect(self.url.replace("{name}", "distqueue"))
        connection.autocommit = True
        return connection


def _options(url: str) -> PostgresOptions:
    return convert_options(PostgresOptions, parse_url(url).query, owner="postgresql")
