from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

import pytest

from distqueue import groupcommit
from distqueue.errors import Closed, OutcomeUnknown, StoreBusy, TooLarge, UniqueTaken
from distqueue.groupcommit import GroupCommit
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.results import Outcome, Seen, Stored

from .conftest import Until
from .ledger import Ledger, put

type Pool = ThreadPoolExecutor


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a rain of interrupts every follower is woken in time; nobody has to look for himself."""
    monkeypatch.setattr(groupcommit, "PATIENCE", 3600)


@contextmanager
def held(ledger: Ledger, broker: GroupCommit, pool: Pool) -> Iterator[Future[list[Outcome]]]:
    """Keep the store busy with a first call, the put of task ``first``."""
    ledger.gate.clear()
    first = pool.submit(broker.apply, [put("first")])
    ledger.running.get(timeout=10)
    try:
        yield first
    finally:
        ledger.gate.set()


def waiting(broker: GroupCommit) -> int:
    return len(broker._waiting)


def test_a_lone_call_goes_straight_through() -> None:
    ledger = Ledger()
    assert GroupCommit(ledger).apply([put("a"), put("b")]) == [Stored(task_id="a"), Stored(task_id="b")]
    assert len(ledger.batches) == 1


def test_what_gathers_during_a_call_becomes_one_call(pool: Pool, until: Until) -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool):
        others = [pool.submit(broker.apply, [put(f"{n}a"), put(f"{n}b")]) for n in range(8)]
        until(lambda: waiting(broker) == 8)
    for n, other in enumerate(others):
        assert other.result(10) == [Stored(task_id=f"{n}a"), Stored(task_id=f"{n}b")]
    assert [len(batch) for batch in ledger.batches] == [1, 16]


def test_the_limit_of_commands_holds_for_calls_together(pool: Pool, until: Until) -> None:
    ledger = Ledger(max_batch=5)
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool):
        others = [pool.submit(broker.apply, [put(f"{n}{k}") for k in range(2)]) for n in range(4)]
        until(lambda: waiting(broker) == 4)
    for other in others:
        assert len(other.result(10)) == 2
    assert [len(batch) for batch in ledger.batches] == [1, 4, 4]


def test_the_limit_of_bytes_holds_for_calls_together(pool: Pool, until: Until) -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool):
        others = [pool.submit(broker.apply, [put(str(n), MAX_BATCH_BYTES // 2)]) for n in range(3)]
        until(lambda: waiting(broker) == 3)
    for other in others:
        other.result(10)
    assert [len(batch) for batch in ledger.batches] == [1, 2, 1]


def test_a_call_over_the_limit_is_refused_before_it_joins(pool: Pool, until: Until) -> None:
    ledger = Ledger(max_batch=2)
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool):
        other = pool.submit(broker.apply, [put("other")])
        until(lambda: waiting(broker) == 1)
        with pytest.raises(TooLarge):
            broker.apply([put("a"), put("b"), put("c")])
    assert other.result(10) == [Stored(task_id="other")]
    assert sorted(ledger.task_ids()) == ["first", "other"]


def test_an_error_reaches_every_caller_as_an_instance_of_its_own(pool: Pool, until: Until) -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool):
        others = [pool.submit(broker.apply, [put(str(n))]) for n in range(4)]
        until(lambda: waiting(broker) == 4)
        ledger.faults = [StoreBusy("first"), StoreBusy("locked by 17")]
    errors = [other.exception(10) for other in others]
    assert [type(error) for error in errors] == [StoreBusy] * 4
    assert {str(error) for error in errors} == {"locked by 17"}
    assert len({id(error) for error in errors}) == 4
    assert broker.apply([put("after")]) == [Stored(task_id="after")]


def test_an_error_keeps_what_it_carries(pool: Pool, until: Until) -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool):
        other = pool.submit(broker.apply, [put("other")])
        until(lambda: waiting(broker) == 1)
        ledger.faults = [StoreBusy("first"), UniqueTaken("taken", "task-1")]
    error = other.exception(10)
    assert isinstance(error, UniqueTaken)
    assert error.task_id == "task-1"


class Awkward(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def test_an_error_that_cannot_be_made_again_becomes_an_unknown_outcome(pool: Pool, until: Until) -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool):
        other = pool.submit(broker.apply, [put("other")])
        until(lambda: waiting(broker) == 1)
        ledger.faults = [StoreBusy("first"), Awkward(1, 2)]
    error = other.exception(10)
    assert isinstance(error, OutcomeUnknown)
    assert isinstance(error.__cause__, Awkward)


def test_an_interrupted_leader_raises_it_and_its_followers_do_not_know_the_outcome(
    pool: Pool, until: Until
) -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool) as first:
        others = [pool.submit(broker.apply, [put(str(n))]) for n in range(5)]
        until(lambda: waiting(broker) == 5)
        ledger.faults = [StoreBusy("first"), KeyboardInterrupt()]
    assert isinstance(first.exception(10), StoreBusy)
    kinds = sorted(type(other.exception(10)).__name__ for other in others)
    assert kinds == ["KeyboardInterrupt", *["OutcomeUnknown"] * 4]
    assert broker.apply([put("after")]) == [Stored(task_id="after")]


def test_an_interrupt_of_a_lone_call_frees_the_store() -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    ledger.faults = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        broker.apply([put("a")])
    assert broker.apply([put("b")]) == [Stored(task_id="b")]


def test_an_interrupted_follower_withdraws_what_has_not_begun(pool: Pool, until: Until) -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    main = threading.main_thread().ident
    assert main is not None
    with held(ledger, broker, pool):

        def interrupt() -> None:
            until(lambda: waiting(broker) == 1)
            signal.pthread_kill(main, signal.SIGINT)

        interrupting = pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            broker.apply([put("withdrawn")])
        interrupting.result(10)
        other = pool.submit(broker.apply, [put("other")])
        until(lambda: waiting(broker) == 1)
    assert other.result(10) == [Stored(task_id="other")]
    assert sorted(ledger.task_ids()) == ["first", "other"]


def test_close_carries_out_what_has_gathered_and_refuses_what_comes_later(pool: Pool, until: Until) -> None:
    ledger = Ledger()
    broker = GroupCommit(ledger)
    with held(ledger, broker, pool) as first:
        other = pool.submit(broker.apply, [put("other")])
        until(lambda: waiting(broker) == 1)
        closing = pool.submit(broker.close)
        until(lambda: broker._closed)
        with pytest.raises(Closed):
            broker.apply([put("late")])
        assert not closing.done()
    assert first.result(10) == [Stored(task_id="first")]
    assert other.result(10) == [Stored(task_id="other")]
    closing.result(10)
    assert ledger.is_closed
    broker.close()


def test_waiting_is_left_to_the_inner_broker() -> None:
    assert GroupCommit(Ledger()).wait("default", Seen(3), None) == Seen(4)


def test_many_threads_each_get_their_own_results_in_their_own_order(pool: Pool) -> None:
    ledger = Ledger(pause=0.0001, max_batch=20)
    broker = GroupCommit(ledger)

    def work(name: int) -> None:
        for n in range(150):
            ids = [f"{name:02}-{n:03}-{k}" for k in range(1 + n % 3)]
            outcomes = broker.apply([put(task_id) for task_id in ids])
            assert outcomes == [Stored(task_id=task_id) for task_id in ids]

    for done in [pool.submit(work, name) for name in range(12)]:
        done.result(60)
    for _, of_one in itertools.groupby(sorted(ledger.task_ids()), lambda task_id: task_id[:2]):
        mine = list(of_one)
        assert [task_id for task_id in ledger.task_ids() if task_id[:2] == mine[0][:2]] == mine
    assert len(ledger.task_ids()) == 12 * 300
    assert len(ledger.batches) < 12 * 150
    assert max(map(len, ledger.batches)) <= 20


def test_nobody_hangs_and_nothing_is_done_twice_while_interrupts_rain_on_one_thread(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groupcommit, "PATIENCE", 0.05)
    ledger = Ledger(pause=0.0001)
    broker = GroupCommit(ledger)
    enough = threading.Event()

    def work(name: int) -> list[str]:
        stored: list[str] = []
        for n in itertools.count():
            if enough.is_set():
                return stored
            try:
                broker.apply([put(f"{name}-{n}")])
                stored.append(f"{name}-{n}")
            except OutcomeUnknown:  # led by the thread that is interrupted
                pass
        raise AssertionError

    workers = [pool.submit(work, name) for name in range(6)]
    interrupts = 0
    before = signal.signal(signal.SIGALRM, _interrupt)
    try:
        for n in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + (n % 37) * 0.00003)
                for k in range(50):
                    broker.apply([put(f"main-{n}-{k}")])
            except KeyboardInterrupt:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        enough.set()
    stored = [task_id for worker in workers for task_id in worker.result(30)]
    carried_out = ledger.task_ids()
    assert interrupts > 100
    assert len(set(carried_out)) == len(carried_out)
    assert set(stored) <= set(carried_out)
    broker.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
