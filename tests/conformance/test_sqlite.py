from distqueue.conformance import BackendConformance


class TestSqlite(BackendConformance):
    url = "sqlite:///{tmp}/queue.db"
