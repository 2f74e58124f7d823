"""The subject of a test: a fresh store, opened through its URL, and the verbs that drive it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import batched
from pathlib import Path
from typing import ClassVar, NoReturn, TypedDict, Unpack

import msgspec
import pytest

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.commands import (
    Ack,
    Browse,
    Cancel,
    Claim,
    Command,
    Find,
    Put,
    Reject,
    Release,
    Remembered,
    Settle,
    Stats,
)
from distqueue.conformance.clauses import DECLARED, Clause
from distqueue.conformance.harness import Harness, harness_for
from distqueue.conformance.processes import OtherProcess
from distqueue.conformance.report import Fact
from distqueue.conformance.suite.holding import NotRun, hold
from distqueue.errors import LeaseLost, Refused, SettleRefused, Unsupported
from distqueue.ids import new_task_id, new_token
from distqueue.opening import open_broker
from distqueue.payload import decode, encode
from distqueue.results import (
    Browsed,
    Claimed,
    Counted,
    Found,
    Lease,
    Outcome,
    QueueStats,
    Result,
    Seen,
    Settled,
    Stored,
)
from distqueue.task import RememberedTask, TaskRecord, TaskState

LONG = 3600.0
"""A lease or a delay that does not end during a test, in seconds."""
MANY = 1500
"""More tasks than a backend takes in one portion, if it takes many in portions."""


class PutOptions(TypedDict, total=False):
    """The options of a put."""

    priority: int
    delay: float | None
    due: float | None
    max_attempts: int | None
    expires_in: float | None
    keep_done: float
    group: str | None
    unique: str | None
    publisher_id: str | None
    headers: dict[str, str] | None


class StoreOptions(TypedDict, total=False):
    """The options of a store that the suite sets to see the end of what takes long otherwise."""

    dedup_window: float
    dedup_max: int


class Subject:
    """The base of all tests of the suite: set ``url``, and if need be the two durations.

    In the URL ``{tmp}`` becomes a fresh directory and ``{name}`` a fresh name for each store.
    """

    url: ClassVar[str]
    moment: ClassVar[float] = 0.04
    """The length of a short lease or delay, in seconds: some of the clock ticks of the store."""
    patience: ClassVar[float] = 20.0
    """How long a test waits for what has to happen, in seconds, before it fails."""
    harness: ClassVar[type[Harness] | None] = None
    """What can be done to the store from outside; that which the plugin names, if none is given."""
    tries_again: ClassVar[bool] = True
    """Whether a clause that fails is held once more, to tell what always fails from what is flaky."""

    rig: Harness
    """The harness of this test."""
    is_quick: bool = False
    """Whether clauses that take long are left out: also where a run as a whole is not quick."""
    seed: int = 0
    """What random tests begin with."""
    store: str
    """The URL of the store of this test, with nothing left to fill in."""
    broker: Broker
    queue: str = "work"

    @pytest.fixture(autouse=True)
    def _open_the_store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
        self._facts = request.node.user_properties
        self.is_quick = self.is_quick or getattr(request.config.option, "distqueue_quick", False)
        self.seed = getattr(request.config.option, "distqueue_seed", self.seed)
        with self.opened_in(tmp_path):
            self.note(Fact.ENGINE, self.rig.engine())
            self.note(Fact.CAPABILITIES, self.capabilities)
            yield

    @contextmanager
    def opened_in(self, directory: Path) -> Iterator[None]:
        """Open a fresh store for one test; afterwards everything that the test opened is closed."""
        assert "{tmp}" in self.url or "{name}" in self.url, "url needs {tmp} or {name}: a fresh store a test"
        self._directory = directory
        self._opened: list[Broker] = []
        with ExitStack() as self.cleanup:
            self.rig = self.make_rig(directory)
            self.cleanup.callback(self.rig.close)
            self.store = self.fresh_url()
            self.broker = self.open()
            yield

    # --- Clauses ----------------------------------------------------------------------------------

    def examples(self, most: int) -> int:
        """Return how many random examples a test tries: ``most``, a quarter of them in a quick run."""
        return max(1, most // 4) if self.is_quick else most

    def hold(self, clause: Clause, test: Callable[[], None]) -> None:
        """Hold a clause against the backend, and note what became of it."""
        hold(self, clause, test)

    def note(self, fact: Fact, value: object) -> None:
        """Note something for the report."""
        facts: list[tuple[str, object]] | None = getattr(self, "_facts", None)
        if facts is not None:
            facts.append((fact.value, msgspec.to_builtins(value)))

    def not_run(self, why: str) -> NoReturn:
        """End the test: nothing is known about its clause, for a reason that the report says."""
        raise NotRun(why)

    def before_campaign(self, *, broker: bool) -> None:
        """End the test if a campaign (``broker``: with a broker process) does the same in another class."""

    def passes_now(self, check: Callable[[], None]) -> bool:
        """Whether a check passes on a fresh store, once everything that was opened is closed."""
        try:
            self.cleanup.close()
            with self.opened_in(self._directory):
                check()
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):  # noqa: BLE001 - whatever it is
            return False
        return True

    # --- Stores -----------------------------------------------------------------------------------

    def make_rig(self, directory: Path) -> Harness:
        """Return the harness of one test."""
        return (self.harness or harness_for(self.url))(self.url, directory)

    def fresh_url(self) -> str:
        """Return the URL of a store that does not exist yet."""
        return self.rig.fresh_url()

    def open(self, url: str | None = None, *, create: bool = True, **options: Unpack[StoreOptions]) -> Broker:
        """Open a store, that of the test if no other is named; it is closed when the test ends."""
        return self.opened(open_broker(url or self.store, create=create, **options))

    def opened(self, broker: Broker) -> Broker:
        """Close a broker when the test ends, and before that what waits in a thread is waited for."""
        self._opened.append(broker)
        self.cleanup.callback(broker.close)
        return broker

    def reopen(self) -> None:
        """Close the store of the test and open it again."""
        self.broker.close()
        self.broker = self.open()

    def other_process(self) -> OtherProcess:
        """Open the store of the test in another process; it is killed when the test ends."""
        return self.cleanup.enter_context(
            OtherProcess(self.store, self.capabilities, prepare=self.rig.prepare)
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the backend declares."""
        return self.broker.capabilities

    def lacks(self, capability: str) -> bool:
        """Whether the backend does not declare the capability."""
        return not DECLARED[capability](self.capabilities)

    def check_without(self, capability: str) -> None:
        """Check what has to hold without the capability."""
        from distqueue.conformance.suite.without import WITHOUT

        WITHOUT[capability](self)

    # --- Commands ---------------------------------------------------------------------------------

    def do(self, command: Command) -> Outcome:
        """Carry out one command and return its outcome, whatever it is."""
        return self.broker.apply([command])[0]

    def ok[R: Result](self, command: Command, kind: type[R]) -> R:
        """Carry out one command, which has to succeed."""
        return expect(self.do(command), kind)

    def refuse[E: Refused](self, command: Command, kind: type[E]) -> E:
        """Carry out one command, which has to be refused."""
        return expect(self.do(command), kind)

    def make(
        self,
        data: object = None,
        *,
        task_id: str | None = None,
        queue: str | None = None,
        **options: Unpack[PutOptions],
    ) -> Put:
        """Make a put, with an id of its own if none is given."""
        name = new_task_id() if task_id is None else task_id
        return Put.make(queue or self.queue, name, encode(data), **options)

    def put(
        self,
        data: object = None,
        *,
        task_id: str | None = None,
        queue: str | None = None,
        **options: Unpack[PutOptions],
    ) -> str:
        """Store a new task and return its id."""
        stored = self.ok(self.make(data, task_id=task_id, queue=queue, **options), Stored)
        assert not stored.duplicate
        return stored.task_id

    def put_all(self, ids: str, **options: Unpack[PutOptions]) -> None:
        """Store a task for each of the ids, which are separated by spaces, in one call."""
        for outcome in self.broker.apply([self.make(task_id=each, **options) for each in ids.split()]):
            assert not expect(outcome, Stored).duplicate

    def apply_all(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out any number of commands, in as few calls as the backend allows."""
        calls = batched(commands, self.capabilities.max_batch)
        return [outcome for call in calls for outcome in self.broker.apply(call)]

    def put_many(self, count: int, **options: Unpack[PutOptions]) -> list[str]:
        """Store any number of tasks, and return their ids in the order in which they were put."""
        names = [f"many{number}" for number in range(count)]
        for outcome in self.apply_all([self.make(task_id=name, **options) for name in names]):
            assert not expect(outcome, Stored).duplicate
        return names

    def claimed(self, count: int = 1, lease: float = LONG, queue: str | None = None) -> Claimed:
        """Claim and return the whole answer."""
        command = Claim(queue=queue or self.queue, token=new_token(), count=count, lease=lease)
        return self.ok(command, Claimed)

    def claim(self, count: int = 1, lease: float = LONG, queue: str | None = None) -> list[Lease]:
        """Claim up to ``count`` tasks."""
        return self.claimed(count, lease, queue).leases

    def take(self, task_id: str | None = None, lease: float = LONG) -> Lease:
        """Claim one task, which has to be there and, if an id is given, has to be that one."""
        if task_id is not None and self.lacks("ordering"):
            return self.pick(task_id, lease)
        leases = self.claim(1, lease)
        assert len(leases) == 1, "nothing is claimable"
        assert task_id is None or leases[0].task_id == task_id
        return leases[0]

    def pick(self, task_id: str, lease: float) -> Lease:
        """Claim one task among others in whatever order, and give the others back."""
        leases = {each.task_id: each for each in self.claim(100, lease)}
        assert task_id in leases, f"{task_id} is not claimable"
        for name, other in leases.items():
            if name != task_id:
                self.release(other)
        return leases[task_id]

    def same(self, names: str, expected: str) -> bool:
        """Whether these are the tasks expected, in that order if the backend keeps one in a queue."""
        if self.lacks("ordering"):
            return sorted(names.split()) == sorted(expected.split())
        return names == expected

    def take_all(self, count: int = 100) -> str:
        """Claim what there is and return the ids in order, separated by spaces."""
        return " ".join(lease.task_id for lease in self.claim(count))

    def claim_again(self, token: str, first: Sequence[Lease]) -> None:
        """Repeat a claim, which has to return what it did at first, unless the backend repeats none."""
        outcome = self.do(Claim(queue=self.queue, token=token, count=len(first), lease=LONG, again=True))
        if isinstance(outcome, Unsupported):
            return
        repeated = expect(outcome, Claimed).leases
        assert self.same(ids(repeated), ids(first))
        assert {lease.task_id: lease for lease in repeated} == {lease.task_id: lease for lease in first}

    def ack(self, lease: Lease) -> Settled:
        """Ack a delivery."""
        return self.ok(Ack(queue=self.queue, receipt=lease.receipt), Settled)

    def release(self, lease: Lease) -> Settled:
        """Release a delivery."""
        return self.ok(Release(queue=self.queue, receipt=lease.receipt), Settled)

    def reject(self, lease: Lease, error: str | None = None) -> Settled:
        """Reject a delivery."""
        return self.ok(Reject(queue=self.queue, receipt=lease.receipt, error=error), Settled)

    def settle_the_gone(self, command: Settle, kind: type[Settled] | type[SettleRefused]) -> None:
        """Settle a task that is gone: the outcome is of a kind, or its receipt is not remembered."""
        expect(self.do(command), LeaseLost if self.lacks("dedup") else kind)

    def cancel(self, task_id: str) -> Outcome:
        """Cancel a task."""
        return self.do(Cancel(queue=self.queue, task_id=task_id))

    # --- Reading ----------------------------------------------------------------------------------

    def find(self, task_id: str, queue: str | None = None) -> TaskRecord | None:
        """Look a task up."""
        return self.ok(Find(queue=queue or self.queue, task_id=task_id), Found).task

    def record(self, task_id: str, queue: str | None = None) -> TaskRecord:
        """Look a task up that has to be there."""
        record = self.find(task_id, queue)
        assert record is not None, f"task {task_id} is gone"
        return record

    def state(self, task_id: str, queue: str | None = None) -> TaskState | None:
        """Return the state of a task, ``None`` if it is not in the store."""
        record = self.find(task_id, queue)
        return None if record is None else record.state

    def stats(self, queue: str | None = None) -> QueueStats:
        """Count the tasks of a queue."""
        name = queue or self.queue
        counted = self.ok(Stats(queue=name), Counted).queues
        assert [each.queue for each in counted] in ([name], [])
        return counted[0] if counted else QueueStats(queue=name)

    def browse(
        self, *states: TaskState, order: str = "number", limit: int = 100, queue: str | None = None
    ) -> list[TaskRecord]:
        """List tasks, through all pages."""
        tasks: list[TaskRecord] = []
        after: int | None = None
        while True:
            command = Browse(queue=queue or self.queue, states=states, order=order, limit=limit, after=after)
            page = self.ok(command, Browsed)
            tasks += page.tasks
            after = page.next
            if after is None:
                return tasks

    def remembered(self, limit: int = 1000, queue: str | None = None) -> list[RememberedTask]:
        """List the ids that are remembered, through all pages."""
        tasks: list[RememberedTask] = []
        after: int | None = None
        while True:
            page = self.ok(Remembered(queue=queue or self.queue, limit=limit, after=after), Browsed)
            tasks += page.remembered
            after = page.next
            if after is None:
                return tasks

    # --- Time ---------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Let time pass: what was to end within ``seconds`` from now has ended afterwards."""
        end = time.monotonic() + seconds + self.moment / 4
        while (left := end - time.monotonic()) > 0:
            time.sleep(left)

    def until[T](self, condition: Callable[[], T | None], what: str) -> T:
        """Poll until a condition gives something, and return it."""
        deadline = time.monotonic() + self.patience
        while not (result := condition()):
            assert time.monotonic() < deadline, f"waited {self.patience} s in vain for {what}"
            time.sleep(0.002)
        return result

    def claim_soon(self, broker: Broker | None = None, queue: str | None = None) -> Lease:
        """Claim one task, waiting on the broker for it as a consumer does."""
        broker, queue = broker or self.broker, queue or self.queue
        deadline = time.monotonic() + self.patience
        while True:
            claimed = expect(broker.apply([Claim(queue=queue, token=new_token(), lease=LONG)])[0], Claimed)
            if claimed.leases:
                return claimed.leases[0]
            broker.wait(queue, claimed.seen, deadline - time.monotonic())
            assert time.monotonic() < deadline, f"not woken within {self.patience} s"

    def wait(self, seen: Seen, timeout: float | None = None) -> Seen:
        """Wait on the broker of the test."""
        return self.broker.wait(self.queue, seen, timeout)

    def in_thread[T](self, call: Callable[[], T]) -> Future[T]:
        """Run a call in a thread of its own."""
        pool = ThreadPoolExecutor(1)
        self.cleanup.callback(pool.shutdown)
        for broker in self._opened:
            self.cleanup.callback(broker.close)  # a call that still waits is woken first
        return pool.submit(call)


def expect[R](outcome: Outcome, kind: type[R]) -> R:
    """Return an outcome that has to be of a kind."""
    assert isinstance(outcome, kind), f"expected {kind.__name__}, got {outcome!r}"
    return outcome


def value(data: bytes) -> object:
    """Return the value of a payload."""
    result: object = decode(data)
    return result


def ids(leases: Sequence[Lease] | Sequence[TaskRecord]) -> str:
    """Return the ids of tasks, separated by spaces."""
    return " ".join(each.task_id for each in leases)
