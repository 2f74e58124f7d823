import pytest

from distqueue.conformance import BackendConformance
from distqueue.conformance.served import ThroughAPipe, ThroughASocket
from tests.servers.conformance import OnPostgreSQL


class TestJsonThroughAPipe(ThroughAPipe, BackendConformance):
    url = "json:///{tmp}/Queue.json"


class TestJsonThroughASocket(ThroughASocket, BackendConformance):
    url = "json:///{tmp}/Queue.json"


class TestMemoryThroughAPipe(ThroughAPipe, BackendConformance):
    url = "memory://{name}"


class TestMemoryThroughASocket(ThroughASocket, BackendConformance):
    url = "memory://{name}"


@pytest.mark.slow
class TestPostgresqlThroughASocket(ThroughASocket, OnPostgreSQL, BackendConformance):
    """Slow, and so on the newest Python only; a pipe differs from a socket as it does with other stores."""

    url = "postgresql:///?schema={name}"


class TestShardedJsonThroughAPipe(ThroughAPipe, BackendConformance):
    url = "sharded-json:///{tmp}/queue.d"


class TestShardedJsonThroughASocket(ThroughASocket, BackendConformance):
    url = "sharded-json:///{tmp}/queue.d"


class TestSqliteThroughAPipe(ThroughAPipe, BackendConformance):
    url = "sqlite:///{tmp}/queue.db"


class TestSqliteThroughASocket(ThroughASocket, BackendConformance):
    url = "sqlite:///{tmp}/queue.db"
