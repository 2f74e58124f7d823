from distqueue.conformance import BackendConformance


class TestMemory(BackendConformance):
    url = "memory://{name}"
