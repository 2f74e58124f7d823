"""Many deliveries acked together."""

from __future__ import annotations

import pytest

from distqueue import AsyncQueue, BatchRefused, LeaseLost, Queue, TaskGone
from distqueue.results import Settled


def test_all_are_done(queue: Queue) -> None:
    queue.put_many(range(250))
    deliveries = queue.get_many(250)
    assert [settled.task_id for settled in queue.ack_many(deliveries)] == [d.task_id for d in deliveries]
    stats = queue.stats()
    assert (stats.ready, stats.leased, stats.remembered) == (0, 0, 250)
    assert queue.ack_many([]) == []


def test_acking_again_is_as_if_it_were_the_first_time(queue: Queue) -> None:
    queue.put_many(range(3))
    deliveries = queue.get_many(3)
    queue.ack_many(deliveries)
    assert len(queue.ack_many(deliveries)) == 3


def test_the_error_tells_which_could_not_be_acked_and_the_others_are(queue: Queue) -> None:
    queue.put_many(range(3))
    deliveries = queue.get_many(3)
    queue.cancel(deliveries[1].task_id)
    with pytest.raises(BatchRefused, match=r"1 of 3 .* others acked") as refusal:
        queue.ack_many(deliveries)
    assert [type(outcome) for outcome in refusal.value.outcomes] == [Settled, TaskGone, Settled]
    assert queue.stats().leased == 0


def test_what_was_acked_so_is_not_settled_again_at_the_end_of_with(queue: Queue) -> None:
    queue.put_many(range(2))
    one, two = queue.get_many(2)
    with one, two:
        queue.ack_many([one, two])
    assert queue.stats().remembered == 2


def test_a_delivery_of_another_queue_is_refused_and_nothing_is_done(url: str, queue: Queue) -> None:
    with Queue(url, name="other") as other:
        queue.put_many(range(1))
        other.put_many(range(1))
        with pytest.raises(ValueError, match="another queue"):
            queue.ack_many([*queue.get_many(1), *other.get_many(1)])
        assert (queue.stats().leased, other.stats().leased) == (1, 1)


def test_a_lease_that_ran_out_is_refused(queue: Queue) -> None:
    queue.put("it")
    (delivery,) = queue.get_many(1, lease=0.001)
    assert queue.get(timeout=10) is not None
    with pytest.raises(BatchRefused) as refusal:
        queue.ack_many([delivery])
    assert isinstance(refusal.value.outcomes[0], LeaseLost)


@pytest.mark.asyncio
async def test_coroutines_have_it_too(url: str) -> None:
    async with AsyncQueue(url) as queue:
        await queue.put_many(range(3))
        deliveries = await queue.get_many(3)
        await queue.cancel(deliveries[2].task_id)
        with pytest.raises(BatchRefused):
            await queue.ack_many(deliveries)
        assert (await queue.stats()).remembered == 3
