"""All stores through a broker process; on the oldest Python one through a pipe, and one through a socket.

Every clause is held through a pipe on two stores: what a pipe does differently is the same for all, and what
takes long on the others is held through the socket.
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
    """Through a socket only, and quickly: how a pipe differs, and what takes long, other stores show."""

    url = "postgresql:///?schema={name}"
    is_quick = True


@pytest.mark.slow
class TestShardedJsonThroughAPipe(ThroughAPipe, BackendConformance):
    url = "sharded-json:///{tmp}/queue.d"
    is_quick = True


@pytest.mark.slow
class TestShardedJsonThroughASocket(ThroughASocket, BackendConformance):
    url = "sharded-json:///{tmp}/queue.d"


@pytest.mark.slow
class TestSqliteThroughAPipe(ThroughAPipe, BackendConformance):
    url = "sqlite:///{tmp}/queue.db"
    is_quick = True


class TestSqliteThroughASocket(ThroughASocket, BackendConformance):
    url = "sqlite:///{tmp}/queue.db"
