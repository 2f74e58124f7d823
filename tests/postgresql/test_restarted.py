"""A server that was restarted while nothing was asked of it."""

from __future__ import annotations

from distqueue import Queue
from distqueue.opening import migrate_store
from tests.servers.postgresql import Server


def test_what_cannot_be_repeated_is_done_over_a_new_connection(own_postgres: Server) -> None:
    url = f"{own_postgres.url}?schema=restarted"
    migrate_store(url)
    with Queue(url) as queue:
        for end in (own_postgres.kill, own_postgres.stop):
            queue.put("it")
            end()
            own_postgres.start()
            queue.purge()
            assert queue.get(timeout=0) is None
