from distqueue.conformance import BackendConformance


class TestShardedJson(BackendConformance):
    url = "sharded-json:///{tmp}/queue.d?shards=3"
