"""The suite on the PostgreSQL of the tests.

class TestPostgreSQL(OnPostgreSQL, BackendConformance):
    url = "postgresql:///?schema={name}"
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import psycopg

from distqueue.conformance.harness import Harness
from distqueue.conformance.suite.subject import Subject
from distqueue.urls import parse_url
from distqueue_backends.postgresql.harness import PostgresHarness
from tests.servers.chosen import URL, own_postgres, postgres_url, with_query

_idle: Final[dict[str, list[str]]] = {}
"""Empty stores on the tests' own server, by the URL that they were made for."""
_END_SESSIONS: Final = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
)
_EMPTY: Final = """
DO $$
DECLARE _table regclass;
BEGIN
    FOR _table IN SELECT oid FROM pg_class
        WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND relname <> 'store'
    LOOP
        IF pg_total_relation_size(_table) > 262144 THEN  -- with the dead rows of earlier tests
            EXECUTE format('TRUNCATE %s', _table);
        ELSE
            EXECUTE format('DELETE FROM %s', _table);
        END IF;
    END LOOP;
    PERFORM setval('{schema}.number', 1, false);
END $$
"""


class ServerOfTests(PostgresHarness):
    """Kills the server of the tests, and empties stores and uses them again, if it is their own.

    To make the tables of a store and to drop them takes longer than most tests.
    """

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        self._made: list[str] = []

    def missing(self, ability: str) -> str | None:
        if ability == "restart_engine" and URL in os.environ:
            return f"the server that {URL} names is somebody's"
        return super().missing(ability)

    def restart_engine(self) -> None:
        own_postgres().restart()

    def fresh_url(self) -> str:
        if URL in os.environ:
            return super().fresh_url()
        if _idle.get(self.url) and not self._offset:
            self._made.append(_idle[self.url].pop())
            self.use_again(self._made[-1])
        else:
            self._made.append(super().fresh_url())
        return self._made[-1]

    def close(self) -> None:
        for url in self._made:
            empty(parse_url(url).query["schema"])
            self.give_away(url)
            _idle.setdefault(self.url, []).append(url)
        super().close()


def empty(schema: str) -> None:
    """End whoever is still connected to a store, and take everything out of it."""
    with psycopg.connect(own_postgres().url, autocommit=True) as connection:
        connection.execute(_END_SESSIONS, (f"distqueue/{schema}",))
        connection.execute(_EMPTY.format(schema=schema).encode())


class OnPostgreSQL(Subject):
    """Puts the server of the tests into the URL, whose options stay as they are."""

    moment = 0.15  # a server that has much to do

    def examples(self, most: int) -> int:
        # Each step is a round trip, and there are walks on this server through a broker process, too.
        return max(1, super().examples(most) // 2)

    def make_rig(self, directory: Path) -> Harness:
        options = self.url.partition("?")[2]
        return ServerOfTests(with_query(postgres_url(), options), directory)
