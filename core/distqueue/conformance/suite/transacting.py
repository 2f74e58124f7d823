"""Putting tasks in a transaction of the application's own."""

from __future__ import annotations

from typing import Any

import pytest

from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject
from distqueue.errors import DistqueueError, PayloadMismatch, Unsupported
from distqueue.queue import Queue


class Transacting(Subject):
    """Transactions of the application's own."""

    def own_connection(self) -> Any:
        """Return a connection such as the application has, closed when the test ends."""
        connection = self.rig.connect(self.store)
        self.cleanup.callback(connection.close)
        return connection

    def own_queue(self) -> Queue:
        """Return a queue of the store, closed when the test ends."""
        return self.cleanup.enter_context(Queue(self.store, name=self.queue))

    @clause(
        "TRANSACT-1",
        "a task that is put in a transaction of the application's is there if that commits, and only then",
        needs="transactional_enqueue",
        asks="connect",
        look="does the put commit by itself, or on a connection of its own?",
    )
    def test_a_task_shares_the_fate_of_its_transaction(self) -> None:
        queue, connection = self.own_queue(), self.own_connection()
        queue.put("rolled back", task_id="never", connection=connection)
        connection.rollback()
        assert self.find("never") is None
        queue.put("committed", task_id="it", connection=connection)
        connection.commit()
        self.ack(self.take("it"))
        queue.put("once more", task_id="never", connection=connection)
        connection.commit()
        self.take("never")

    @clause(
        "TRANSACT-2",
        "many tasks put in a transaction are all there after the commit, in order, and none without it",
        needs="transactional_enqueue",
        asks="connect",
        look="a commit in the middle of a batch; places given out before the commit",
    )
    def test_many_tasks_share_the_fate_of_their_transaction(self) -> None:
        queue, connection = self.own_queue(), self.own_connection()
        queue.put_many([1, 2, 3], connection=connection)
        connection.rollback()
        assert self.stats().ready == 0
        stored = queue.put_many([1, 2, 3], connection=connection)
        connection.commit()
        assert self.same(self.take_all(), " ".join(each.task_id for each in stored))

    @clause(
        "TRANSACT-3",
        "a put that is refused in a transaction stores nothing, and leaves the transaction as it was",
        needs="transactional_enqueue",
        asks="connect",
        look="a refusal that rolls the application's transaction back, or leaves half a put in it",
    )
    def test_a_refusal_leaves_the_transaction(self) -> None:
        queue, connection = self.own_queue(), self.own_connection()
        queue.put("first", task_id="it", connection=connection)
        with pytest.raises(PayloadMismatch):
            queue.put("other", task_id="it", connection=connection)
        connection.commit()
        assert bytes(self.record("it").data) == b'"first"'
        assert self.stats().ready == 1

    @clause(
        "TRANSACT-4",
        "what is no connection to the store's own database is refused, and nothing is stored",
        needs="transactional_enqueue",
        look="is the connection checked before anything is written?",
    )
    def test_another_connection_is_refused(self) -> None:
        queue = self.own_queue()
        for wrong in (object(), "connection"):
            with pytest.raises(DistqueueError):
                queue.put("x", task_id="it", connection=wrong)
        assert self.find("it") is None


def without_transactions(test: Subject) -> None:
    """A put with a connection is refused, and not put without it."""
    with Queue(test.store, name=test.queue) as queue, pytest.raises(Unsupported):
        queue.put("x", task_id="it", connection=object())
    assert test.find("it") is None
