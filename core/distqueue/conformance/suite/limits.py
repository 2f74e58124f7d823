"""Limits: what is one below and exactly at a limit is stored; what is one over is refused."""

from __future__ import annotations

from typing import Final

import pytest

from distqueue.commands import Ack, Claim, Command, Extend, Find, Put, Release, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import PutOptions, Subject, expect
from distqueue.errors import InvalidTask, Refused, TooLarge
from distqueue.limits import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_ERROR,
    MAX_HEADERS,
    MAX_ID,
    MAX_KEY,
    MAX_PRIORITY,
    MAX_SECONDS,
)
from distqueue.payload import MAX_DEPTH
from distqueue.results import Claimed, Settled, Stored

MAX_NAME: Final = 64
"""The longest name of a queue and token of a claim, in characters."""
NAN: Final = float("nan")
INFINITE: Final = float("inf")


class Limits(Subject):
    """Limits."""

    def fits(self, put: Put) -> None:
        """The task is stored as it is, and found."""
        assert not self.ok(put, Stored).duplicate
        assert bytes(self.record(put.task_id).data) == put.data

    def does_not_fit(self, put: Put, kind: type[Refused]) -> None:
        """The task is refused, and nothing is stored."""
        before = self.stats()
        self.refuse(put, kind)
        assert self.stats() == before

    @clause(
        "LIMIT-1",
        "a payload may have as many bytes as declared, and not one more",
        look="a column, message or frame with a smaller limit than the declared max_payload",
    )
    def test_the_largest_payload(self) -> None:
        for size in (self.capabilities.max_payload - 1, self.capabilities.max_payload):
            self.fits(Put(queue=self.queue, task_id=f"size{size}", data=_text(size)))
        self.does_not_fit(
            Put(queue=self.queue, task_id="over", data=_text(self.capabilities.max_payload + 1)), TooLarge
        )

    @clause(
        "LIMIT-2",
        "a task id may have 1 to 128 characters",
        look="the width of the id's column or key; keys made of queue and id need room for both",
    )
    def test_the_longest_id(self) -> None:
        for size in (1, MAX_ID - 1, MAX_ID):
            self.fits(self.make(task_id="i" * size))
        for size in (0, MAX_ID + 1):
            self.does_not_fit(self.make(task_id="i" * size), InvalidTask)

    @pytest.mark.parametrize("size", [1, MAX_KEY - 1, MAX_KEY])
    @clause(
        "LIMIT-3",
        "a publisher id may have 256 UTF-8 bytes",
        look="the width of the publisher's column: 256 bytes, not characters",
    )
    def test_a_long_publisher_id(self, size: int) -> None:
        self.fits(self.make(publisher_id=_bytes(size)))
        self.does_not_fit(self.make(publisher_id=_bytes(MAX_KEY + 1)), TooLarge)
        self.does_not_fit(self.make(publisher_id=""), InvalidTask)

    @pytest.mark.parametrize("size", [1, MAX_KEY - 1, MAX_KEY])
    @clause(
        "LIMIT-4",
        "a group may have 1 to 256 UTF-8 bytes, printable",
        needs="groups",
        look="the width of the group's column, and an index that cuts or refuses long keys",
    )
    def test_a_long_group(self, size: int) -> None:
        self.fits(self.make(group=_bytes(size)))
        self.does_not_fit(self.make(group=_bytes(MAX_KEY + 1)), TooLarge)
        for group in ("", "a\nb", "\x00"):
            self.does_not_fit(self.make(group=group), InvalidTask)

    @pytest.mark.parametrize("size", [1, MAX_KEY - 1, MAX_KEY])
    @clause(
        "LIMIT-5",
        "a unique key may have 1 to 256 UTF-8 bytes, printable",
        needs="unique",
        look="the width of the key's column, and of its unique index",
    )
    def test_a_long_unique_key(self, size: int) -> None:
        self.fits(self.make(unique=_bytes(size)))
        self.does_not_fit(self.make(unique=_bytes(MAX_KEY + 1)), TooLarge)
        for key in ("", "a\nb", "\x00"):
            self.does_not_fit(self.make(unique=key), InvalidTask)

    @clause(
        "LIMIT-6",
        "the headers of a task may have 16 KiB together",
        look="where headers are stored: a column or a message header with a limit below 16 KiB",
    )
    def test_the_largest_headers(self) -> None:
        for size in (MAX_HEADERS - 1, MAX_HEADERS):
            headers = {"a": "x" * (size // 2 - 1), "b": "x" * (size - size // 2 - 1)}
            self.fits(self.make(headers=headers, task_id=f"h{size}"))
            assert self.record(f"h{size}").headers == headers
        self.does_not_fit(self.make(headers={"a": "x" * MAX_HEADERS}), TooLarge)

    @pytest.mark.parametrize("mark", ["[]", "{}"])
    @clause(
        "LIMIT-7",
        "a payload may be nested 64 levels deep",
        look="a parser of the engine with a lower limit of depth, if payloads are stored as JSON there",
    )
    def test_the_deepest_payload(self, mark: str) -> None:
        for depth in (MAX_DEPTH - 1, MAX_DEPTH):
            self.fits(Put(queue=self.queue, task_id=f"d{depth}", data=_nested(mark, depth)))
        for depth in (MAX_DEPTH + 1, self.capabilities.max_payload // 8):
            self.does_not_fit(
                Put(queue=self.queue, task_id=f"d{depth}", data=_nested(mark, depth)), InvalidTask
            )

    @clause(
        "LIMIT-8",
        "brackets inside of text are no depth",
        look="an own scanner of payloads that counts brackets without regard to strings and escapes",
    )
    def test_brackets_in_text_are_no_depth(self) -> None:
        self.fits(self.make("[" * 1000))
        self.fits(self.make(["\\", '"', '\\"', "[{" * 100, {"[" * 100: 1}]))

    @clause(
        "LIMIT-9",
        "a call may hold as many commands as declared; a larger one is refused whole",
        look="the number of parameters that a statement may have: divide large calls, in one transaction",
    )
    def test_the_largest_batch(self) -> None:
        most = self.capabilities.max_batch
        batch: list[Command] = [self.make(task_id=f"t{number}") for number in range(most)]
        with pytest.raises(TooLarge):
            self.broker.apply([*batch, self.make(task_id="over")])
        assert self.stats().ready == 0
        for outcome in self.broker.apply(batch):
            expect(outcome, Stored)
        assert self.stats().ready == most
        with pytest.raises(TooLarge):
            self.broker.apply([Find(queue=self.queue, task_id="t0")] * (most + 1))
        assert len(self.broker.apply([Find(queue=self.queue, task_id="t0")] * (most - 1))) == most - 1

    @clause(
        "LIMIT-10",
        "a call may hold 64 MiB of payload; a larger one is refused whole",
        look="an own apply that begins to carry out a call before check_batch has seen it",
    )
    def test_the_largest_batch_in_bytes(self) -> None:
        data = _text(self.capabilities.max_payload)
        count = min(MAX_BATCH_BYTES // len(data) + 1, self.capabilities.max_batch)
        if count * len(data) > MAX_BATCH_BYTES:
            with pytest.raises(TooLarge):
                self.broker.apply(
                    [Put(queue=self.queue, task_id=f"t{number}", data=data) for number in range(count)]
                )
        assert self.stats().ready == 0

    @clause(
        "LIMIT-11",
        "priorities are the integers from 0 to 31",
        needs="priorities",
        look="the column of priorities, or an engine with fewer levels: 32 are needed if declared",
    )
    def test_the_range_of_priorities(self) -> None:
        for priority in (0, 1, MAX_PRIORITY - 1, MAX_PRIORITY):
            self.fits(self.make(priority=priority))
        for priority in (-1, MAX_PRIORITY + 1):
            self.does_not_fit(self.make(priority=priority), InvalidTask)

    @clause(
        "LIMIT-12",
        "max_attempts is at least 1, or None for no limit",
        look="the type of the column for max_attempts, and NULL for no limit",
    )
    def test_the_range_of_attempts(self) -> None:
        for attempts in (1, 2, 1_000_000, None):
            self.fits(self.make(max_attempts=attempts))
        for attempts in (0, -1):
            self.does_not_fit(self.make(max_attempts=attempts), InvalidTask)

    @pytest.mark.parametrize("seconds", [-0.001, -1.0, NAN, INFINITE, MAX_SECONDS * 1.01])
    @clause(
        "LIMIT-13",
        "a delay is 0 s to a hundred years; delay and due are not given together",
        needs="delay",
        look="due times in a type that ends before 2126, as 32 bits of seconds do; or an unchecked due",
    )
    def test_a_delay_out_of_range(self, seconds: float) -> None:
        self.does_not_fit(self.make(delay=seconds), InvalidTask)
        self.does_not_fit(self.make(delay=1.0, due=1.0), InvalidTask)
        for due in (NAN, INFINITE, -INFINITE):
            self.does_not_fit(self.make(due=due), InvalidTask)
        self.fits(self.make(delay=MAX_SECONDS))

    @pytest.mark.parametrize("seconds", [-0.001, NAN, INFINITE, MAX_SECONDS * 1.01])
    @clause(
        "LIMIT-14",
        "expires_in is 0 s to a hundred years",
        needs="expiry",
        look="put carrying options on without check_put: expires_in",
    )
    def test_an_expiry_out_of_range(self, seconds: float) -> None:
        self.does_not_fit(self.make(expires_in=seconds), InvalidTask)
        self.fits(self.make(expires_in=MAX_SECONDS))

    @pytest.mark.parametrize("seconds", [-0.001, NAN, INFINITE, MAX_SECONDS * 1.01])
    @clause(
        "LIMIT-15",
        "keep_done is 0 s to a hundred years",
        needs="keep_done",
        look="put carrying options on without check_put: keep_done",
    )
    def test_a_time_of_keeping_out_of_range(self, seconds: float) -> None:
        self.does_not_fit(self.make(keep_done=seconds), InvalidTask)
        self.fits(self.make(keep_done=MAX_SECONDS))

    @pytest.mark.parametrize("lease", [0.0, -1.0, NAN, INFINITE, MAX_SECONDS * 1.01])
    @clause(
        "LIMIT-16",
        "a lease is more than 0 s, and a claim is for 1 to 10,000 tasks",
        look="an own apply that leaves out check_command for claim and extend",
    )
    def test_a_claim_out_of_range(self, lease: float) -> None:
        self.put_all("a b")
        held = self.take("a")
        self.refuse(Claim(queue=self.queue, token="t", lease=lease), InvalidTask)  # noqa: S106 - no password
        self.refuse(Extend(queue=self.queue, receipt=held.receipt, lease=lease), InvalidTask)
        for count in (0, -1, MAX_BATCH + 1):
            self.refuse(Claim(queue=self.queue, token="t", count=count), InvalidTask)  # noqa: S106
        assert [each.task_id for each in self.claim(MAX_BATCH, lease=MAX_SECONDS)] == ["b"]
        self.ok(Extend(queue=self.queue, receipt=held.receipt, lease=MAX_SECONDS), Settled)
        self.ack(held)

    @pytest.mark.parametrize("delay", [-0.001, NAN, INFINITE, MAX_SECONDS * 1.01])
    @clause(
        "LIMIT-17",
        "the delay of a retry is 0 s to a hundred years; a refused one changes nothing",
        look="retry changing the task before the delay is checked, or capped by the engine in silence",
    )
    def test_a_retry_out_of_range(self, delay: float) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        refusal = Refused if self.lacks("delay") else InvalidTask  # for either reason
        self.refuse(Retry(queue=self.queue, receipt=lease.receipt, delay=delay), refusal)
        self.ack(lease)

    @pytest.mark.parametrize("delay", [-0.001, NAN, INFINITE, MAX_SECONDS * 1.01])
    @clause(
        "LIMIT-24",
        "the delay of a release is 0 s to a hundred years; a refused one changes nothing",
        look="release giving the task back before the delay is checked",
    )
    def test_a_release_out_of_range(self, delay: float) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        refusal = Refused if self.lacks("delay") else InvalidTask  # for either reason
        self.refuse(Release(queue=self.queue, receipt=lease.receipt, delay=delay), refusal)
        self.ack(lease)

    @clause(
        "LIMIT-18",
        "an error text is kept whole up to 65,536 characters; of a longer one both ends are",
        look="the column of errors cutting by bytes, or text stored without the base class's cut_error",
    )
    def test_the_longest_error(self) -> None:
        for size in (MAX_ERROR - 1, MAX_ERROR, MAX_ERROR + 1, MAX_ERROR * 3):
            task_id = self.put()
            text = "begin" + "ä" * (size - 8) + "end"
            self.reject(self.take(task_id), text)
            kept = self.record(task_id).error
            assert kept is not None
            assert kept == text if size <= MAX_ERROR else len(kept) <= MAX_ERROR
            assert (kept[:5], kept[-3:]) == ("begin", "end")

    @clause(
        "LIMIT-19",
        "options of the wrong size in a batch are refused one by one",
        look="a fast path for batches of puts that checks only the first, or none",
    )
    def test_limits_hold_in_a_batch(self) -> None:
        bad: list[PutOptions] = [
            {"publisher_id": "p" * 1000},
            {"max_attempts": -5},
            {"headers": {"h": "x" * MAX_HEADERS}},
        ]
        outcomes = self.broker.apply([self.make(task_id="a"), *(self.make(**options) for options in bad)])
        assert [isinstance(outcome, Refused) for outcome in outcomes] == [False, True, True, True]
        assert self.take_all() == "a"

    @clause(
        "LIMIT-20",
        "a queue name may have 1 to 64 characters, whatever is done with it",
        look="a name that with what the store adds is longer than a key or the name of a file may be",
    )
    def test_the_longest_queue_name(self) -> None:
        for size in (1, MAX_NAME - 1, MAX_NAME):
            name = "q" * size
            self.put(size, task_id="it", queue=name)
            assert self.stats(name).ready == 1
            (lease,) = self.claim(2, queue=name)
            self.broker.apply([Ack(queue=name, receipt=lease.receipt)])
            assert self.find("it", name) is None
        self.refuse(self.make(queue="q" * (MAX_NAME + 1)), InvalidTask)

    @clause(
        "LIMIT-21",
        "the token of a claim may have 1 to 64 characters, and a receipt made of the longest one settles",
        look="a receipt that is cut off where it is stored: it holds the token, the task's id and a number",
    )
    def test_the_longest_token(self) -> None:
        for size in (1, MAX_NAME - 1, MAX_NAME):
            self.put(task_id=f"{size}".rjust(MAX_ID, "i"))
            claim = Claim(queue=self.queue, token="t" * size, lease=60.0)
            (lease,) = self.ok(claim, Claimed).leases
            self.ok(Extend(queue=self.queue, receipt=lease.receipt, lease=60.0), Settled)
            self.ack(lease)
        for token in ("", "t" * (MAX_NAME + 1), "a b", "ä"):
            self.refuse(Claim(queue=self.queue, token=token), InvalidTask)

    @clause(
        "LIMIT-22",
        "follow-up tasks count among the commands of a call; a call with too many is refused whole",
        look="a limit that is checked on the commands alone",
    )
    def test_the_most_follow_up_tasks(self) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        then = tuple(self.make(task_id=f"t{number}") for number in range(self.capabilities.max_batch))
        with pytest.raises(TooLarge):
            self.broker.apply([Ack(queue=self.queue, receipt=lease.receipt, then=then)])
        assert self.find("t0") is None
        self.ok(Ack(queue=self.queue, receipt=lease.receipt, then=then[:1]), Settled)
        self.take("t0")

    @clause(
        "LIMIT-23",
        "64 MiB of payload in one call are stored",
        look="a frame, a statement or a transaction that the engine allows less in",
        slow=True,
    )
    def test_as_many_bytes_as_a_call_may_hold(self) -> None:
        data = _text(self.capabilities.max_payload)
        count = MAX_BATCH_BYTES // len(data)
        if count > self.capabilities.max_batch:
            self.not_run("fewer commands than that fit into one call")
        puts = [Put(queue=self.queue, task_id=f"t{number}", data=data) for number in range(count)]
        for outcome in self.broker.apply(puts):
            expect(outcome, Stored)
        assert self.stats().ready == count
        assert bytes(self.record(f"t{count - 1}").data) == data


def _text(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def _bytes(size: int) -> str:
    """Return printable text of so many UTF-8 bytes, of characters of two bytes where they fit."""
    return "ä" * (size // 2) + "a" * (size % 2)


def _nested(mark: str, depth: int) -> bytes:
    if mark == "[]":
        return b"[" * depth + b"]" * depth
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
