from distqueue.conformance import BackendConformance
from tests.servers.conformance import OnPostgreSQL


class TestPostgresql(OnPostgreSQL, BackendConformance):
    url = "postgresql:///?schema={name}"
