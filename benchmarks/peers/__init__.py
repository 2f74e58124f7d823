"""Other queues that need no server, each behind the verbs of a contender: ``python -m benchmarks.peers``."""
