"""All stores through a broker process; on the oldest Python one through a pipe, and one through a socket.

What takes long is held on memory and JSON through both, and on SQLite through a socket: what a way in does
differently is the same for all stores.
"""

import pytest

from distqueue.conformance import BackendConformance
from distqueue.conformance.served import ThroughAPipe, ThroughASocket
from tests.servers.conformance import OnPostgreSQL


class TestJsonThroughAPipe(ThroughAPipe, BackendConformance):
    url = "json:///{tmp}/Queue.json"


@pytest.mark.slow
class TestJsonThroughASocket(ThroughASocket, BackendConformance):
    url = "json:///{tmp}/Queue.json"


@pytest.mark.slow
class TestMemoryThroughAPipe(ThroughAPipe, BackendConformance):
    url = "memory://{name}"


@pytest.mark.slow
class TestMemoryThroughASocket(ThroughASocket, BackendConformance):
    url = "memory://{name}"


@pytest.mark.slow
class TestPostgresqlThroughASocket(ThroughASocket, OnPostgreSQL, BackendConformance):
    """Through a socket only: how a pipe differs, other stores show."""

    url = "postgresql:///?schema={name}"
    is_quick = True


@pytest.mark.slow
class TestShardedJsonThroughAPipe(ThroughAPipe, BackendConformance):
    url = "sharded-json:///{tmp}/queue.d?shards=3"
    is_quick = True


@pytest.mark.slow
class TestShardedJsonThroughASocket(ThroughASocket, BackendConformance):
    url = "sharded-json:///{tmp}/queue.d?shards=3"
    is_quick = True


@pytest.mark.slow
class TestSqliteThroughAPipe(ThroughAPipe, BackendConformance):
    url = "sqlite:///{tmp}/queue.db"
    is_quick = True


class TestSqliteThroughASocket(ThroughASocket, BackendConformance):
    url = "sqlite:///{tmp}/queue.db"
