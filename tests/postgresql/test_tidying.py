"""How many ids of tasks that are gone are remembered, whoever has to forget the others."""

from __future__ import annotations

from distqueue import Queue


def test_processes_that_end_soon_forget_what_is_over_the_limit(postgres_store: str) -> None:
    for turn in range(3):
        with Queue(postgres_store, dedup_max=10) as queue:
            queue.put_many([turn] * 50)
            queue.ack_many(queue.get_many(50))
    with Queue(postgres_store) as queue:
        assert queue.stats().remembered == 10
