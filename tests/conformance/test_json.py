from distqueue.conformance import BackendConformance


class TestJson(BackendConformance):
    url = "json:///{tmp}/Queue.json"
