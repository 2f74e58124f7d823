"""What has to hold where a capability is not declared: what needs it is refused, with nothing stored.

For a feature, every command that needs it is refused as ``Unsupported``. For a guarantee there is
nothing to refuse; then the weaker promise that is left is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from distqueue.commands import Ack, Browse, Claim, Clear, Fence, Pause, Release, Remembered, Resume, Retry
from distqueue.conformance.processes import OtherProcess
from distqueue.conformance.report import Fact
from distqueue.conformance.suite.subject import LONG, PutOptions, Subject, expect
from distqueue.conformance.suite.transacting import without_transactions
from distqueue.errors import DistqueueError, SettleRefused, Unsupported
from distqueue.fences import EVERY, FenceLevel
from distqueue.results import Claimed, Settled, Stored
from distqueue.task import TaskState


def refuses(test: Subject, options: PutOptions) -> None:
    """A put with the option is refused, its neighbours are stored, and so is no follow-up task."""
    before = test.stats()
    test.refuse(test.make(task_id="needs-it", **options), Unsupported)
    assert test.find("needs-it") is None
    assert test.stats() == before
    outcomes = test.broker.apply(
        [test.make(task_id="a"), test.make(task_id="needs-it", **options), test.make(task_id="b")]
    )
    assert [type(outcome) for outcome in outcomes] == [Stored, Unsupported, Stored]
    leases = test.claim(10)
    assert {lease.task_id for lease in leases} == {"a", "b"}
    then = (test.make(task_id="needs-it", **options),)
    test.refuse(Ack(queue=test.queue, receipt=leases[0].receipt, then=then), Unsupported)
    assert test.find("needs-it") is None
    test.ack(leases[0])


def without_delay(test: Subject) -> None:
    """Nothing can be put, retried or released with a delay; a retry that leaves the delay open is at once."""
    refuses(test, {"delay": LONG})
    refuses_again: PutOptions = {"due": 1e10}
    test.refuse(test.make(task_id="needs-it", **refuses_again), Unsupported)
    test.put(task_id="it")
    lease = next(lease for lease in test.claim(10) if lease.task_id == "it")
    test.refuse(Retry(queue=test.queue, receipt=lease.receipt, delay=LONG), Unsupported)
    test.refuse(Release(queue=test.queue, receipt=lease.receipt, delay=LONG), Unsupported)
    assert test.state("it") is TaskState.LEASED
    settled = test.ok(Retry(queue=test.queue, receipt=lease.receipt), Settled)
    assert (settled.state, test.state("it")) == (TaskState.READY, TaskState.READY)
    assert test.take("it").attempt == 2


def without_pause(test: Subject) -> None:
    """A queue cannot be paused, and so is not."""
    test.put(task_id="it")
    for command in (Pause(queue=test.queue), Resume(queue=test.queue)):
        test.refuse(command, Unsupported)
        assert not test.stats().paused
    test.take("it")


def without_fence(test: Subject) -> None:
    """A queue cannot be fenced, and so is not."""
    test.put(task_id="it")
    for queue in (test.queue, EVERY):
        test.refuse(Fence(queue=queue, level=FenceLevel.DRAINING, note="acme:///there"), Unsupported)
    test.refuse(Clear(queue=test.queue), Unsupported)
    test.put(task_id="new", queue="new")
    test.take("it")


def without_browse(test: Subject) -> None:
    """Tasks cannot be listed."""
    test.put(task_id="it")
    for command in (Browse(queue=test.queue), Remembered(queue=test.queue)):
        test.refuse(command, Unsupported)
    test.take("it")


def without_durability(test: Subject) -> None:
    """Nothing survives the last close: no half of anything either."""
    test.put_all("a b")
    test.claim()
    test.reopen()
    assert (test.find("a"), test.find("b"), test.claim()) == (None, None, [])
    assert not test.ok(test.make("else", task_id="a"), Stored).duplicate


def without_ordering(test: Subject) -> None:
    """In whatever order, each task is claimed once."""
    names = [f"t{number}" for number in range(50)]
    test.put_all(" ".join(names))
    claimed = [lease.task_id for _ in range(60) for lease in test.claim(7)]
    assert sorted(claimed) == sorted(names)
    if claimed == names:
        test.note(Fact.FINDING, "50 tasks came in the order of their puts")


def without_atomic_batch(test: Subject) -> None:
    """Each command is atomic all the same."""
    put = test.make(task_id="it")
    claim = Claim(queue=test.queue, token="t", lease=LONG)  # noqa: S106 - no password
    stored, claimed = test.broker.apply([put, claim])
    expect(stored, Stored)
    assert [lease.task_id for lease in expect(claimed, Claimed).leases] == ["it"]


def without_fenced_receipts(test: Subject) -> None:
    """A late ack is either carried out or refused, and never loses another task."""
    test.put_all("it other")
    leases = {lease.task_id: lease for lease in test.claim(2, lease=test.moment)}
    test.pass_time(test.moment)
    outcome = test.do(Ack(queue=test.queue, receipt=leases["it"].receipt))
    assert isinstance(outcome, (Settled, SettleRefused))
    left = {lease.task_id for lease in test.claim(10)}
    assert left == ({"other"} if isinstance(outcome, Settled) else {"it", "other"})
    if not isinstance(outcome, Settled):
        test.note(Fact.FINDING, "a late ack was refused, as with fenced receipts")


def without_dedup(test: Subject) -> None:
    """An id is known while its task exists, and free afterwards."""
    test.put("data", task_id="it")
    assert test.ok(test.make("data", task_id="it"), Stored).duplicate
    test.ack(test.take("it"))
    assert not test.ok(test.make("other data", task_id="it"), Stored).duplicate
    test.take("it")


def without_sharing(test: Subject) -> None:
    """Another process cannot open the store, or opens another one: ours is not touched."""
    test.put_all("a b")
    lease = test.take("a")
    try:
        with OtherProcess(test.store, test.capabilities, prepare=test.rig.prepare) as other:
            claimed = expect(other.apply([Claim(queue=test.queue, token="t")])[0], Claimed)  # noqa: S106
            assert claimed.leases == []
            other.apply([test.make("else", task_id="a")])
    except DistqueueError:
        pass
    test.ack(lease)
    assert test.take_all() == "b"


def without_counting_apart(test: Subject) -> None:
    """Attempts and deliveries are one count."""
    test.put(task_id="it", max_attempts=None)
    for count in range(1, 4):
        lease = test.take("it")
        why = "a release counts as an attempt, unless attempts_apart_from_deliveries is declared"
        assert lease.attempt == lease.deliveries == count, why
        test.release(lease)


WITHOUT: Final[dict[str, Callable[[Subject], None]]] = {
    "durability": without_durability,
    "ordering": without_ordering,
    "atomic_batch": without_atomic_batch,
    "fenced_receipts": without_fenced_receipts,
    "priorities": lambda test: refuses(test, {"priority": 1}),
    "delay": without_delay,
    "groups": lambda test: refuses(test, {"group": "g"}),
    "unique": lambda test: refuses(test, {"unique": "key"}),
    "dedup": without_dedup,
    "expiry": lambda test: refuses(test, {"expires_in": LONG}),
    "pause": without_pause,
    "fence": without_fence,
    "browse": without_browse,
    "keep_done": lambda test: refuses(test, {"keep_done": LONG}),
    "transactional_enqueue": without_transactions,
    "shared_between_processes": without_sharing,
    "attempts_apart_from_deliveries": without_counting_apart,
}
"""The check for each capability that is not declared."""
