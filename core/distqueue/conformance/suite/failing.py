"""Failed attempts: what is kept of each, how many of them, and for how long."""

from __future__ import annotations

import pytest

from distqueue import Queue
from distqueue.commands import Load, Redrive, Reject, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import expect
from distqueue.conformance.suite.tidying import Tidying
from distqueue.limits import MAX_FAILURE_ERROR, MAX_FAILURES, MAX_TRACEBACK
from distqueue.results import Lease, Loaded, Redriven, Settled
from distqueue.task import FailedAttempt

TRACE = 'Traceback:\n  File "x.py", line 1\n\tä 😀 \x00'


class Failing(Tidying):
    """Failed attempts."""

    def fail(self, lease: Lease, error: str | None = None, traceback: str | None = None) -> None:
        """Fail an attempt, to be tried again at once."""
        retry = Retry(queue=self.queue, receipt=lease.receipt, delay=0.0, error=error, traceback=traceback)
        self.ok(retry, Settled)

    def condemn(self, lease: Lease, error: str | None = None, traceback: str | None = None) -> None:
        """Fail an attempt, the last."""
        self.ok(Reject(queue=self.queue, receipt=lease.receipt, error=error, traceback=traceback), Settled)

    def failures(self, task_id: str) -> tuple[FailedAttempt, ...]:
        """What is kept of a task's failed attempts."""
        return self.record(task_id).failures

    def fill_with_failures(self) -> None:
        """Bring failed attempts of each kind into the store."""
        self.put(task_id="tried")
        self.fail(self.take("tried", lease=100.0), "first", TRACE)
        self.take("tried", lease=self.moment)
        self.pass_time(self.moment)
        self.put(task_id="dead")
        leases = {lease.task_id: lease for lease in self.claim(2)}
        assert leases["tried"].attempt == 3
        self.condemn(leases["dead"], "ä", TRACE)

    @clause(
        "FAIL-1",
        "each failed attempt is noted: its number, when and how it ended, its error and its traceback",
        look="retry and reject: note the attempt by its number before that is counted up, texts as they are",
    )
    def test_failed_attempts_are_noted(self) -> None:
        self.put(task_id="it")
        assert self.failures("it") == ()
        self.fail(self.take("it"), "first", TRACE)
        self.fail(self.take("it"))
        self.condemn(self.take("it"), "ä\n\x00", "last")
        record = self.record("it")
        noted = [(each.attempt, each.verb, each.error, each.traceback) for each in record.failures]
        assert noted == [
            (1, "retry", "first", TRACE),
            (2, "retry", None, None),
            (3, "reject", "ä\n\x00", "last"),
        ]
        times = [record.put_at, *[each.at for each in record.failures], record.put_at + self.patience]
        assert times == sorted(times)

    @clause(
        "FAIL-2",
        "an attempt whose lease ran out is noted with the end of the lease, whether the task is dead or not",
        look="what gives lapsed tasks back: note the attempt there, too, before the lease's end is dropped",
    )
    def test_lapsed_leases_are_noted(self) -> None:
        self.put(task_id="it", max_attempts=2)
        ends = []
        for _ in range(2):
            ends.append(self.take("it", lease=self.moment).until)
            self.pass_time(self.moment)
        assert self.claim() == []
        failures = self.failures("it")
        assert [(each.attempt, each.verb) for each in failures] == [(1, "lapse"), (2, "lapse")]
        assert [each.at for each in failures] == pytest.approx(ends, abs=0.001)
        assert all(each.error and each.traceback is None for each in failures)

    @clause(
        "FAIL-3",
        "of many failed attempts the newest ten are kept, the oldest of them first",
        look="with_failure, or a query that keeps the first ten or lists them backwards",
    )
    def test_the_newest_failed_attempts_are_kept(self) -> None:
        self.put(task_id="it", max_attempts=None)
        attempts = range(1, MAX_FAILURES + 4)
        for attempt in attempts:
            self.fail(self.take("it"), f"failure {attempt}")
        kept = list(attempts)[-MAX_FAILURES:]
        assert [each.attempt for each in self.failures("it")] == kept
        assert [each.error for each in self.failures("it")] == [f"failure {attempt}" for attempt in kept]

    @clause(
        "FAIL-4",
        "failed attempts stay through a redrive, and are added to afterwards",
        look="redrive resets the count of failures, and nothing else that is known of them",
    )
    def test_failed_attempts_stay_through_a_redrive(self) -> None:
        self.put(task_id="it")
        self.condemn(self.take("it"), "hopeless")
        before = self.failures("it")
        assert self.ok(Redrive(queue=self.queue), Redriven).count == 1
        assert self.failures("it") == before
        self.fail(self.take("it"), "again")
        assert [(each.attempt, each.error) for each in self.failures("it")] == [
            (1, "hopeless"),
            (1, "again"),
        ]

    @pytest.mark.parametrize("end", ["ack", "cancel"])
    @clause(
        "FAIL-5",
        "failed attempts go with their task: another one under its id has none of them",
        look="ack, cancel, purge and expiry have to drop the failures, if these are kept apart from the task",
    )
    def test_failed_attempts_go_with_their_task(self, end: str) -> None:
        if not self.lacks("dedup"):
            self.broker.close()
            self.broker = self.open(dedup_window=0.0, dedup_max=0)
        self.put(task_id="it")
        self.fail(self.take("it"), "failed")
        self.cancel("it") if end == "cancel" else self.ack(self.take("it"))
        self.put("another", task_id="it")
        assert self.failures("it") == ()
        self.fail(self.take("it"), "of the other")
        assert [each.error for each in self.failures("it")] == ["of the other"]

    @clause(
        "FAIL-6",
        "of the error of a failed attempt 1,024 characters are kept, of its traceback 8,192: both ends",
        look="with_failure cuts both; the error of the task itself is longer",
    )
    def test_the_longest_texts(self) -> None:
        for extra in (0, 1, 100_000):
            task_id = self.put()
            error = "ä" * (MAX_FAILURE_ERROR + extra - 1) + "z"
            trace = "ä" * (MAX_TRACEBACK + extra - 1) + "z"
            self.condemn(self.take(task_id), error, trace)
            (kept,) = self.failures(task_id)
            for text, whole, most in (
                (kept.error, error, MAX_FAILURE_ERROR),
                (kept.traceback, trace, MAX_TRACEBACK),
            ):
                assert text is not None
                assert text == whole if not extra else most * 0.9 < len(text) <= most
                assert (text[:100], text[-100:]) == (whole[:100], whole[-100:])

    @clause(
        "FAIL-7",
        "a release is no failed attempt, nor is one that is going on",
        look="what notes attempts: only retry, reject and the end of a lease do",
    )
    def test_what_did_not_fail_is_not_noted(self) -> None:
        self.put(task_id="it")
        self.release(self.take("it"))
        lease = self.take("it")
        assert self.failures("it") == ()
        self.fail(lease, "failed")
        self.release(self.take("it"))
        assert [each.error for each in self.failures("it")] == ["failed"]

    @clause(
        "FAIL-8",
        "failed attempts are listed, and loaded into another store",
        needs="browse",
        look="browse and load: the failures of a record belong to what is read and written of a task",
    )
    def test_failed_attempts_travel(self) -> None:
        self.fill_with_failures()
        before = {task.task_id: task for task in self.browse()}
        assert {name: len(task.failures) for name, task in before.items()} == {"tried": 2, "dead": 1}
        self.broker = self.open(self.fresh_url())
        for outcome in self.broker.apply([Load.of(task) for task in before.values()]):
            expect(outcome, Loaded)
        assert {name: self.failures(name) for name in before} == {
            name: task.failures for name, task in before.items()
        }
        assert {task.task_id: task.failures for task in self.browse()} == {
            name: task.failures for name, task in before.items()
        }

    @clause(
        "FAIL-9",
        "failed attempts are as before when the store is opened again, also after it has tidied up",
        needs="durability",
        look="what is written of retry, reject and a lapse, and what compaction copies",
    )
    def test_failed_attempts_are_durable(self) -> None:
        self.fill_with_failures()
        before = [self.failures(name) for name in ("tried", "dead")]
        self.reopen()
        assert [self.failures(name) for name in ("tried", "dead")] == before
        self.let_it_tidy_up()
        self.reopen()
        assert [self.failures(name) for name in ("tried", "dead")] == before

    @clause(
        "FAIL-10",
        "an exception that ends a delivery is noted with its traceback",
        look="the traceback on its way from the client: retry gets it, whatever carries the command",
    )
    def test_a_handler_that_fails_leaves_its_traceback(self) -> None:
        with Queue(self.store, name=self.queue) as queue:
            queue.put(1, task_id="it")
            delivery = queue.get(timeout=self.patience)
            assert delivery is not None
            with delivery:
                raise ValueError("ä failure")
            record = queue.find("it")
        assert record is not None
        (failed,) = record.failures
        assert (failed.attempt, failed.verb, failed.error) == (1, "retry", "ValueError: ä failure")
        assert failed.traceback is not None
        assert failed.traceback.startswith("Traceback (most recent call last)")
        assert "in test_a_handler_that_fails_leaves_its_traceback" in failed.traceback
