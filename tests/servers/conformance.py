"""The suite on the PostgreSQL of the tests.

class TestPostgreSQL(OnPostgreSQL, BackendConformance):
    url = "postgresql:///?schema={name}"
"""

from __future__ import annotations

import os
from pathlib import Path

from distqueue.conformance.harness import Harness, harness_for
from distqueue.conformance.suite.subject import Subject
from tests.servers.chosen import URL, own_postgres, postgres_url, with_query


class Restarts(Harness):
    """Kills the server of the tests, if it is their own; goes before the harness of the backend."""

    def missing(self, ability: str) -> str | None:
        if ability == "restart_engine" and URL in os.environ:
            return f"the server that {URL} names is somebody's"
        return super().missing(ability)

    def restart_engine(self) -> None:
        own_postgres().restart()


class OnPostgreSQL(Subject):
    """Puts the server of the tests into the URL, whose options stay as they are."""

    moment = 0.15  # a server that has much to do

    def make_rig(self, directory: Path) -> Harness:
        server = postgres_url()
        options = self.url.partition("?")[2]
        kind = self.harness or harness_for(self.url)
        rig = type(kind.__name__, (Restarts, kind), {})
        made: Harness = rig(with_query(server, options), directory)
        return made
