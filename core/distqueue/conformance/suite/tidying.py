"""Letting a store tidy up its files: tasks come and go until garbage outweighs the rest."""

from __future__ import annotations

from collections.abc import Iterator

from distqueue.commands import Ack
from distqueue.conformance.suite.subject import Subject


class Tidying(Subject):
    """A base of tests in which the store tidies up."""

    def let_it_tidy_up(self) -> None:
        """Put, claim and ack some megabytes in a queue that nothing else is in."""
        for _ in self.tidying_up():
            pass

    def tidying_up(self) -> Iterator[None]:
        """Do the same step by step: at most once in a step garbage outweighs the rest."""
        for _ in range(20):
            self.broker.apply([self.make("x" * 20_000, queue="churn") for _ in range(10)])
            yield
            leases = self.claim(10, queue="churn")
            self.broker.apply([Ack(queue="churn", receipt=lease.receipt) for lease in leases])
            yield
