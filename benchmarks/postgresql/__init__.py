"""Queues in a PostgreSQL, each behind the verbs of a contender, in a database of its own on one server."""
