"""Judges a recorded history: did the store keep its promises under load, kills and pauses?

    verdict = check(read_history(directory.glob("*.jsonl")))
    assert verdict.result == "VALID", verdict.text()

One pass groups the events by task, then every invariant looks at each task once: the cost grows with
the number of events. A time that can only be bounded is always taken in favour of the store (a
claim took effect somewhere between its call and its answer), so what is reported did happen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from distqueue.conformance.history import (
    AnyEvent,
    Delivered,
    Drained,
    Fault,
    PublishInvoked,
    PublishOk,
    PublishRefused,
    PublishUnknown,
    SettleInvoked,
    SettleOk,
    SettleStale,
    SettleUnknown,
)

CLOCK_SLACK: Final = 0.01
"""By how much the store's clock may run ahead of ours during one lease, in seconds."""
MAX_EVIDENCE: Final = 20
"""How many problems of each invariant a verdict keeps in full."""


class Result(StrEnum):
    """What a history shows."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"
    """Nothing was acknowledged, or the store was not drained: it shows nothing."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One broken promise, with the events that show it."""

    invariant: str
    task_id: str
    text: str
    evidence: list[AnyEvent] = []


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result, the reasons for it, and what the history holds."""

    result: Result
    reason: str
    problems: list[Problem]
    counts: dict[str, int]

    def text(self) -> str:
        """Return the verdict for people: the reason, and each problem with its evidence."""
        lines = [f"{self.result}: {self.reason}", f"counts: {self.counts}"]
        for problem in self.problems:
            lines.append(f"- {problem.invariant}: {problem.text} (task {problem.task_id})")
            lines += [f"    {msgspec.json.encode(event).decode()}" for event in problem.evidence]
        return "\n".join(lines)


@dataclass(slots=True)
class TaskTrace:
    """All events of one task, each list in the order of time (deliveries by their number)."""

    task_id: str
    invoked: list[PublishInvoked] = field(default_factory=list)
    stored: list[PublishOk] = field(default_factory=list)
    refused: list[PublishRefused] = field(default_factory=list)
    unknown: list[PublishUnknown] = field(default_factory=list)
    deliveries: list[Delivered] = field(default_factory=list)
    settling: dict[str, list[SettleInvoked]] = field(default_factory=lambda: defaultdict(list))
    settled: list[SettleOk] = field(default_factory=list)
    stale: list[SettleStale] = field(default_factory=list)
    settle_unknown: list[SettleUnknown] = field(default_factory=list)

    def acks(self) -> list[SettleOk]:
        """The acks that were answered with ok."""
        return [event for event in self.settled if event.verb == "ack"]

    def may_have_ended(self) -> bool:
        """Whether an ack or a reject was carried out, or may have been: its answer is missing."""
        refused = {(event.receipt, event.verb) for event in self.stale}
        return any(
            event.verb in ("ack", "reject") and (receipt, event.verb) not in refused
            for receipt, events in self.settling.items()
            for event in events
        )


@dataclass(slots=True)
class Trace:
    """A whole history, by task."""

    tasks: dict[str, TaskTrace] = field(default_factory=dict)
    kills: dict[str, float] = field(default_factory=dict)
    drained: Drained | None = None
    first_kill: float = float("inf")

    def task(self, task_id: str) -> TaskTrace:
        """The trace of one task, begun if there is none yet."""
        trace = self.tasks.get(task_id)
        if trace is None:
            trace = self.tasks[task_id] = TaskTrace(task_id)
        return trace

    def killed(self, process: str, before: float) -> bool:
        """Whether the process had been killed by then."""
        return self.kills.get(process, float("inf")) <= before


def check(history: Iterable[AnyEvent], *, ordered: bool = True) -> Verdict:
    """Judge a history.

    Args:
        history: the events of all processes, as ``read_history`` returns them.
        ordered: whether the backend promises the order of a queue (and all tasks had one priority
            and no delay or group).
    """
    trace = gather(history)
    invariants = INVARIANTS if ordered else tuple(each for each in INVARIANTS if each is not in_order)
    counts = count(trace)
    problems: list[Problem] = []
    for invariant in invariants:
        found = list(invariant(trace))
        counts["problems"] = counts.get("problems", 0) + len(found)
        problems += found[:MAX_EVIDENCE]
    return _verdict(trace, problems, counts)


def _verdict(trace: Trace, problems: list[Problem], counts: dict[str, int]) -> Verdict:
    if problems:
        reason = f"{counts['problems']} broken promises"
        return Verdict(result=Result.INVALID, reason=reason, problems=problems, counts=counts)
    doubt = _doubt(trace, counts)
    result = Result.UNKNOWN if doubt else Result.VALID
    return Verdict(result=result, reason=doubt or "every promise was kept", problems=[], counts=counts)


def _doubt(trace: Trace, counts: dict[str, int]) -> str | None:
    """Why the history proves nothing, if it does not."""
    if trace.drained is None:
        return "the store was not drained, so a lost task cannot be told from a waiting one"
    if not counts["acknowledged"]:
        return "no put was acknowledged"
    if not counts["acked"]:
        return "no task was acked"
    return None


def gather(history: Iterable[AnyEvent]) -> Trace:
    """Sort the events of a history by task."""
    trace = Trace()
    for event in history:
        _add(trace, event)
    for task in trace.tasks.values():
        task.deliveries.sort(key=lambda delivered: delivered.deliveries)
    return trace


def _add(trace: Trace, event: AnyEvent) -> None:
    match event:
        case PublishInvoked():
            trace.task(event.task_id).invoked.append(event)
        case PublishOk():
            trace.task(event.task_id).stored.append(event)
        case PublishRefused():
            trace.task(event.task_id).refused.append(event)
        case PublishUnknown():
            trace.task(event.task_id).unknown.append(event)
        case Delivered():
            trace.task(event.task_id).deliveries.append(event)
        case SettleInvoked():
            trace.task(event.task_id).settling[event.receipt].append(event)
        case SettleOk():
            trace.task(event.task_id).settled.append(event)
        case SettleStale():
            trace.task(event.task_id).stale.append(event)
        case SettleUnknown():
            trace.task(event.task_id).settle_unknown.append(event)
        case Fault(kind="kill"):
            trace.kills[event.victim] = event.at
            trace.first_kill = min(trace.first_kill, event.at)
        case Drained():
            trace.drained = event
        case Fault():
            pass


def count(trace: Trace) -> dict[str, int]:
    """Count what the history holds, and how each repeated delivery is explained."""
    tasks = trace.tasks.values()
    counts = {
        "published": sum(1 for task in tasks if task.invoked),
        "acknowledged": sum(1 for task in tasks if task.stored),
        "refused": sum(1 for task in tasks if task.refused and not task.stored),
        "unanswered": sum(1 for task in tasks if task.invoked and not task.stored and not task.refused),
        "published_again": sum(1 for task in tasks if len(task.invoked) > 1),
        "delivered": sum(len(task.deliveries) for task in tasks),
        "acked": sum(1 for task in tasks if task.acks()),
        "settles_refused": sum(len(task.stale) for task in tasks),
        "kills": len(trace.kills),
        "problems": 0,
    }
    again = Counter(
        f"redelivered_after_{explain(trace, task, first, second)}"
        for task in tasks
        for first, second in zip(task.deliveries, task.deliveries[1:])
    )
    return counts | dict(again)


# --- Invariants: each yields what breaks it -----------------------------------------------------------


def nothing_lost(trace: Trace) -> Iterator[Problem]:
    """A put that was acknowledged is carried out by the end of a complete drain."""
    if trace.drained is None:
        return
    dead = set(trace.drained.dead)
    for task in trace.tasks.values():
        if task.stored and not task.may_have_ended() and task.task_id not in dead:
            text = "was acknowledged, but never ended" if task.deliveries else "was acknowledged and lost"
            yield _problem(nothing_lost, task, text, [*task.stored, *task.deliveries])
    if trace.drained.left:
        nobody = TaskTrace("-")
        text = f"{trace.drained.left} tasks are in the store that nobody could claim"
        yield _problem(nothing_lost, nobody, text, [trace.drained])


def no_phantom(trace: Trace) -> Iterator[Problem]:
    """What is delivered was published, in this queue and with this payload."""
    for task in trace.tasks.values():
        published = {(event.queue, event.checksum) for event in task.invoked}
        for delivered in task.deliveries:
            if (delivered.queue, delivered.checksum) not in published:
                text = "was delivered, but never published like that"
                yield _problem(no_phantom, task, text, [delivered, *task.invoked])


def nothing_from_refused(trace: Trace) -> Iterator[Problem]:
    """A put that was refused stored nothing."""
    for task in trace.tasks.values():
        if task.deliveries and task.refused and len(task.refused) == len(task.invoked):
            text = "was refused, and delivered all the same"
            yield _problem(nothing_from_refused, task, text, [*task.refused, *task.deliveries])


def one_id_is_one_task(trace: Trace) -> Iterator[Problem]:
    """Of all puts with one id one stores the task; the others say that it is a duplicate."""
    for task in trace.tasks.values():
        fresh = [event for event in task.stored if not event.duplicate]
        if len(fresh) > 1:
            yield _problem(one_id_is_one_task, task, "was stored more than once", fresh)
        if len(fresh) < len(task.stored) and len(task.invoked) == 1:
            text = "was called a duplicate, though it was published once"
            yield _problem(one_id_is_one_task, task, text, [*task.invoked, *task.stored])


def no_delivery_after_ack(trace: Trace) -> Iterator[Problem]:
    """No claim that began after an ack was answered returns the task."""
    for task in trace.tasks.values():
        acked = min((ack.at for ack in task.acks()), default=float("inf"))
        for delivered in task.deliveries:
            if delivered.asked > acked:
                text = "was delivered after its ack had been answered"
                yield _problem(no_delivery_after_ack, task, text, [*task.acks(), delivered])


def one_ack(trace: Trace) -> Iterator[Problem]:
    """At most one delivery of a task is acked, and only one that was handed out."""
    for task in trace.tasks.values():
        receipts = {ack.receipt for ack in task.acks()}
        if len(receipts) > 1:
            yield _problem(one_ack, task, "was acked with more than one receipt", task.acks())
        if receipts - {delivered.receipt for delivered in task.deliveries}:
            yield _problem(one_ack, task, "was acked without having been delivered", task.acks())


def numbers_increase(trace: Trace) -> Iterator[Problem]:
    """Each delivery of a task has a number of its own, higher than those before."""
    for task in trace.tasks.values():
        for first, second in zip(task.deliveries, task.deliveries[1:]):
            if first.deliveries == second.deliveries or first.receipt == second.receipt:
                yield _problem(numbers_increase, task, "has two deliveries of one number", [first, second])
            elif second.at < first.asked:
                yield _problem(numbers_increase, task, "has a number that went back", [first, second])


def leases_apart(trace: Trace) -> Iterator[Problem]:
    """A task is delivered again only after its lease ended, it was given back or its consumer was killed."""
    for task in trace.tasks.values():
        for first, second in zip(task.deliveries, task.deliveries[1:]):
            if explain(trace, task, first, second) == "nothing":
                text = "was delivered again while its lease ran"
                evidence = [first, *task.settling.get(first.receipt, ()), second]
                yield _problem(leases_apart, task, text, evidence)


def gaps_explained(trace: Trace) -> Iterator[Problem]:
    """A delivery that no consumer saw was on its way to one that was killed."""
    for task in trace.tasks.values():
        known = 0
        for delivered in task.deliveries:
            if delivered.deliveries > known + 1 and trace.first_kill > delivered.at:
                text = f"has delivery {delivered.deliveries} after {known}, and no consumer was killed"
                yield _problem(gaps_explained, task, text, [delivered])
            known = delivered.deliveries


def live_receipts_settle(trace: Trace) -> Iterator[Problem]:
    """The receipt of a running lease is not refused."""
    for task in trace.tasks.values():
        by_receipt = {delivered.receipt: delivered for delivered in task.deliveries}
        for stale in task.stale:
            delivered = by_receipt.get(stale.receipt)
            if delivered is not None and _was_live(task, delivered, stale):
                text = f"was refused as {stale.error} while its lease ran"
                yield _problem(live_receipts_settle, task, text, [delivered, stale])


def _was_live(task: TaskTrace, delivered: Delivered, stale: SettleStale) -> bool:
    ending = [event for event in task.settling.get(stale.receipt, ()) if event.verb != "extend"]
    tried_before = len(ending) > (stale.verb != "extend")
    return not tried_before and stale.at < lease_end(task, delivered) - CLOCK_SLACK


def in_order(trace: Trace) -> Iterator[Problem]:
    """The first deliveries of one publisher's tasks are in the order of its puts."""
    by_publisher: dict[tuple[str, str], list[TaskTrace]] = defaultdict(list)
    for task in trace.tasks.values():
        if len(task.invoked) == 1 and task.stored and task.deliveries:
            by_publisher[task.invoked[0].process, task.invoked[0].queue].append(task)
    for tasks in by_publisher.values():
        tasks.sort(key=lambda task: task.invoked[0].number)
        yield from _overtaken(tasks)


def _overtaken(tasks: list[TaskTrace]) -> Iterator[Problem]:
    """Yield each task that was first asked for after a later one had been delivered."""
    earliest: TaskTrace | None = None
    for task in reversed(tasks):
        first = task.deliveries[0]
        if earliest is not None and first.deliveries == 1 and _came_before(earliest.deliveries[0], first):
            text = f"was overtaken by {earliest.task_id}, which was published later"
            yield _problem(in_order, task, text, [first, earliest.deliveries[0]])
        if earliest is None or _came_before(first, earliest.deliveries[0], surely=False):
            earliest = task


def _came_before(one: Delivered, other: Delivered, *, surely: bool = True) -> bool:
    if (one.process, one.asked) == (other.process, other.asked):
        return one.position < other.position
    return one.at < (other.asked if surely else other.at)


INVARIANTS: Final[tuple[Callable[[Trace], Iterator[Problem]], ...]] = (
    nothing_lost,
    no_phantom,
    nothing_from_refused,
    one_id_is_one_task,
    no_delivery_after_ack,
    one_ack,
    numbers_increase,
    leases_apart,
    gaps_explained,
    live_receipts_settle,
    in_order,
)


# --- Explaining a repeated delivery ----------------------------------------------------------------


def explain(trace: Trace, task: TaskTrace, first: Delivered, second: Delivered) -> str:
    """Say what may have ended the first lease before the second: a verb, a kill, a lapse or nothing."""
    given_back = [
        event.verb
        for event in task.settling.get(first.receipt, ())
        if event.verb in ("retry", "release", "reject") and event.at <= second.at
    ]
    if given_back:
        return given_back[-1]
    if trace.killed(first.process, second.at):
        return "kill"
    return "lapse" if second.at >= lease_end(task, first, second.at) - CLOCK_SLACK else "nothing"


def lease_end(task: TaskTrace, delivered: Delivered, until: float = float("inf")) -> float:
    """Return the earliest moment at which the lease can have ended by itself."""
    end = delivered.asked + delivered.lease
    answered = {event.at for event in task.settled if event.receipt == delivered.receipt}
    for event in task.settling.get(delivered.receipt, ()):
        if event.verb == "extend" and event.at <= until:
            carried_out = any(event.at <= at <= until for at in answered)
            end = event.at + event.lease if carried_out else min(end, event.at + event.lease)
    return end


def _problem(
    invariant: Callable[[Trace], Iterator[Problem]], task: TaskTrace, text: str, evidence: Iterable[AnyEvent]
) -> Problem:
    events = list(evidence)[:MAX_EVIDENCE]
    return Problem(invariant=invariant.__name__, task_id=task.task_id, text=text, evidence=events)
