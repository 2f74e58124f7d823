from distqueue.conformance import BackendConformance


class TestLmdb(BackendConformance):
    url = "lmdb:///{tmp}/store"
