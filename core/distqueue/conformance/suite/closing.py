"""Closing, and many threads that use one broker."""

from __future__ import annotations

import threading
import time

import pytest

from distqueue.broker import Broker
from distqueue.commands import Claim, Put
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject, expect
from distqueue.errors import Closed
from distqueue.ids import new_token
from distqueue.payload import encode
from distqueue.results import Claimed, Seen, Stored


class Closing(Subject):
    """Closing."""

    @clause(
        "CLOSE-1",
        "closing twice is the same as once",
        look="shut freeing something twice: guard it, or leave close to the base class",
    )
    def test_closing_twice(self) -> None:
        self.put()
        self.broker.close()
        self.broker.close()

    @clause(
        "CLOSE-2",
        "a closed broker says so, whatever it is asked",
        look="an own apply or wait that does not look at the closing flag first, even for an empty call",
    )
    def test_a_closed_broker_says_so(self) -> None:
        self.broker.close()
        with pytest.raises(Closed):
            self.broker.apply([self.make()])
        with pytest.raises(Closed):
            self.broker.apply([])
        with pytest.raises(Closed):
            self.broker.wait(self.queue, Seen(), 0.0)

    @clause(
        "CLOSE-3",
        "closing one open of a store does not close another",
        look="connections, locks or threads shared by opens of one store: free them with the last open",
    )
    def test_opens_are_closed_apart(self) -> None:
        other = self.open()
        self.put(task_id="it")
        self.broker.close()
        self.broker = other
        if self.state("it") is not None:
            self.take("it")
        self.put(task_id="next")

    @clause(
        "CLOSE-4",
        "what is in flight while a broker is closed is answered, or refused as closed",
        look="what shut does to a call in progress: wait for it; never commit and then report Closed",
    )
    def test_a_close_answers_what_is_in_flight(self) -> None:
        begun = threading.Barrier(3)

        def publish(name: str) -> int:
            begun.wait(self.patience)
            deadline = time.monotonic() + self.patience
            number = 0
            while time.monotonic() < deadline:
                try:
                    outcomes = self.broker.apply([self.make(task_id=f"{name}{number}")])
                except Closed:
                    return number
                expect(outcomes[0], Stored)
                number += 1
            raise AssertionError("a broker that is closed goes on to answer")

        publishers = [self.in_thread(lambda name=name: publish(name)) for name in "ab"]  # type: ignore[misc]
        begun.wait(self.patience)
        self.until(lambda: self.find("a5") and self.find("b5"), "both publishers to publish")
        self.broker.close()
        counts = [publisher.result(self.patience) for publisher in publishers]
        assert min(counts) > 5
        if not self.lacks("durability"):
            self.broker = self.open()
            for name, count in zip("ab", counts):
                assert self.find(f"{name}{count - 1}") is not None
                assert self.find(f"{name}{count}") is None

    @clause(
        "CLOSE-5",
        "a closed store leaves no thread that would keep its process from ending",
        look="a thread that shut does not end: stop it there, and make it a daemon",
    )
    def test_a_close_leaves_no_thread(self) -> None:
        self.use(self.broker)  # the threads that a process has once are there now
        before = threading.enumerate()

        def left() -> list[threading.Thread]:
            return [each for each in threading.enumerate() if each not in before and not each.daemon]

        broker = self.open(self.fresh_url())
        self.use(broker)
        broker.close()
        deadline = time.monotonic() + self.patience
        for thread in left():
            thread.join(max(0.0, deadline - time.monotonic()))
        assert left() == []

    def use(self, broker: Broker) -> None:
        """Put, claim and wait, which may start what a store has threads for."""
        expect(broker.apply([self.make()])[0], Stored)
        claim = Claim(queue=self.queue, token=new_token())
        claimed = expect(broker.apply([claim])[0], Claimed)
        broker.wait(self.queue, claimed.seen, self.moment)


class Threads(Subject):
    """Many threads that use one broker."""

    @clause(
        "THREAD-1",
        "each of many threads gets the answers to its own commands, and nothing is lost or doubled",
        look="a connection or cursor used by two threads at once: one lock, or a connection a thread",
    )
    def test_threads_share_a_broker(self) -> None:
        def publish(name: str) -> None:
            for number in range(50):
                put = Put(queue=self.queue, task_id=f"{name}.{number}", data=encode(name))
                assert expect(self.broker.apply([put])[0], Stored).task_id == put.task_id

        def consume() -> list[str]:
            mine: list[str] = []
            while len(mine) < 100:
                lease = self.claim_soon()
                assert lease.data == encode(lease.task_id.split(".")[0])
                self.ack(lease)
                mine.append(lease.task_id)
            return mine

        consumers = [self.in_thread(consume) for _ in range(2)]
        publishers = [self.in_thread(lambda name=name: publish(name)) for name in ("a", "b", "c", "d")]  # type: ignore[misc]
        for publisher in publishers:
            publisher.result(self.patience)
        handled = [task_id for consumer in consumers for task_id in consumer.result(self.patience)]
        assert len(handled) == len(set(handled)) == 200
        assert self.stats().ready == self.stats().leased == 0
        if not self.lacks("durability"):
            self.reopen()
            assert self.stats().ready == self.stats().leased == 0

    @clause(
        "THREAD-3",
        "calls of many commands that threads make at the same time get their own outcomes, each of them",
        look="calls that are carried out together: where the answer to each begins",
    )
    def test_calls_of_threads_are_told_apart(self) -> None:
        def publish(name: str) -> None:
            for number in range(30):
                names = [f"{name}.{number}.{each}" for each in range(1 + number % 3)]
                outcomes = self.broker.apply([self.make(task_id=each) for each in names])
                assert [expect(outcome, Stored).task_id for outcome in outcomes] == names

        publishers = [self.in_thread(lambda name=name: publish(name)) for name in "abcdef"]  # type: ignore[misc]
        for publisher in publishers:
            publisher.result(self.patience)
        assert self.stats().ready == 6 * 60

    @clause(
        "THREAD-2",
        "of many threads that put one task one stores it",
        look="checking the id and inserting are two steps: a unique constraint or a lock has to join them",
    )
    def test_one_of_many_threads_stores_a_task(self) -> None:
        begun = threading.Barrier(4)

        def publish() -> bool:
            begun.wait(self.patience)
            return expect(self.broker.apply([self.make(task_id="it")])[0], Stored).duplicate

        for _ in range(5):
            answers = [each.result(self.patience) for each in [self.in_thread(publish) for _ in range(4)]]
            assert sorted(answers) == [False, True, True, True]
            self.take("it")
            self.do_forget()

    @clause(
        "THREAD-4",
        "threads with an open each lose nothing of each other, and what many put is stored once",
        look="a lock that belongs to the process, as those of fcntl do: it does not keep its threads apart",
    )
    def test_threads_with_opens_of_their_own(self) -> None:
        begun = threading.Barrier(3)

        def publish(name: str) -> int:
            broker = self.open()
            begun.wait(self.patience)
            stored = 0
            for number in range(100):
                puts = [self.make(task_id=f"{name}.{number}"), self.make(task_id=f"all.{number}")]
                own, shared = (expect(outcome, Stored) for outcome in broker.apply(puts))
                assert not own.duplicate
                stored += not shared.duplicate
            return stored

        publishers = [self.in_thread(lambda name=name: publish(name)) for name in "abc"]  # type: ignore[misc]
        assert sum(publisher.result(self.patience) for publisher in publishers) == 100
        assert self.stats().ready == 400

    def do_forget(self) -> None:
        """Go on in another queue, where the id is free."""
        self.queue += "x"
