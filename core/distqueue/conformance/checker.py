"""Judges a recorded history: did the store keep its promises under load, kills and pauses?

    verdict = check(read_history(directory.glob("*.jsonl")))
    assert verdict.result == "VALID", verdict.text()

One pass groups the events by task, then every invariant looks at each task once: the cost grows with
the number of events. A time that can only be bounded is always taken in favour of the store (a
claim took effect somewhere between its call and its answer), so what is reported did happen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from distqueue.conformance.history import AnyEvent, Delivered, SettleStale
from distqueue.conformance.trace import CLOCK_SLACK, TaskTrace, Trace, explain, gather, lease_end

MAX_EVIDENCE: Final = 20
"""How many problems of each invariant a verdict keeps in full."""


class Result(StrEnum):
    """What a history shows."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"
    """Nothing was acknowledged, the store was not drained, or no fault fired: it shows nothing."""


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


def check(history: Iterable[AnyEvent], *, ordered: bool = True, faults_expected: bool = False) -> Verdict:
    """Judge a history.

    Args:
        history: the events of all processes, as ``read_history`` returns them.
        ordered: whether the backend promises the order of a queue (and all tasks had one priority
            and no delay or group).
        faults_expected: whether harm was to be done: a history without any then shows nothing.
    """
    trace = gather(history)
    invariants = INVARIANTS if ordered else tuple(each for each in INVARIANTS if each is not in_order)
    counts = count(trace)
    problems: list[Problem] = []
    for invariant in invariants:
        found = list(invariant(trace))
        counts["problems"] = counts.get("problems", 0) + len(found)
        problems += found[:MAX_EVIDENCE]
    if problems:
        reason = f"{counts['problems']} broken promises"
        return Verdict(result=Result.INVALID, reason=reason, problems=problems, counts=counts)
    doubt = _doubt(trace, counts)
    if doubt is None and faults_expected and not trace.faults:
        doubt = "no fault fired, though some were planned"
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
            yield _problem(nothing_lost, task, text, [task.stored[0], *task.deliveries[-1:]])
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
                yield _problem(no_phantom, task, text, [*task.invoked[:1], delivered])


def nothing_from_refused(trace: Trace) -> Iterator[Problem]:
    """A put that was refused stored nothing."""
    for task in trace.tasks.values():
        if task.deliveries and task.refused and len(task.refused) == len(task.invoked):
            text = "was refused, and delivered all the same"
            yield _problem(nothing_from_refused, task, text, [*task.refused, task.deliveries[0]])


def one_id_is_one_task(trace: Trace) -> Iterator[Problem]:
    """Of all puts with one id one stores the task; the others say that it is a duplicate."""
    for task in trace.tasks.values():
        fresh = [event for event in task.stored if not event.duplicate]
        if len(fresh) > 1:
            yield _problem(one_id_is_one_task, task, "was stored more than once", fresh[:2])
        if len(fresh) < len(task.stored) and len(task.invoked) == 1:
            text = "was called a duplicate, though it was published once"
            duplicate = next(event for event in task.stored if event.duplicate)
            yield _problem(one_id_is_one_task, task, text, [*task.invoked, duplicate])


def no_delivery_after_ack(trace: Trace) -> Iterator[Problem]:
    """No claim that began after an ack was answered returns the task."""
    for task in trace.tasks.values():
        ack = min(task.acks(), key=lambda each: each.at, default=None)
        for delivered in task.deliveries:
            if ack is not None and delivered.asked > ack.at:
                text = "was delivered after its ack had been answered"
                yield _problem(no_delivery_after_ack, task, text, [ack, delivered])


def one_ack(trace: Trace) -> Iterator[Problem]:
    """At most one delivery of a task is acked, and only one that was handed out."""
    for task in trace.tasks.values():
        acks = {ack.receipt: ack for ack in task.acks()}
        if len(acks) > 1:
            yield _problem(one_ack, task, "was acked with more than one receipt", list(acks.values())[:2])
        delivered = {each.receipt for each in task.deliveries}
        for ack in acks.values():
            if ack.receipt not in delivered:
                yield _problem(one_ack, task, "was acked without having been delivered", [ack])


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
        refused: dict[str, list[SettleStale]] = defaultdict(list)
        for stale in task.stale:
            refused[stale.receipt].append(stale)
        for delivered in task.deliveries if refused else ():
            early = _refused_while_live(task, delivered, refused.get(delivered.receipt, ()))
            if early is not None:
                text = f"was refused as {early.error} while its lease ran"
                yield _problem(live_receipts_settle, task, text, [delivered, early])


def _refused_while_live(
    task: TaskTrace, delivered: Delivered, refused: Sequence[SettleStale]
) -> SettleStale | None:
    """Return the first refusal during a lease that nothing but an extend had been tried on before."""
    if not refused:
        return None
    tries = sum(event.verb != "extend" for event in task.settling.get(delivered.receipt, ()))
    end = lease_end(task, delivered) - CLOCK_SLACK
    early = [stale for stale in refused if stale.at < end and tries <= (stale.verb != "extend")]
    return early[0] if early else None


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


def _problem(
    invariant: Callable[[Trace], Iterator[Problem]], task: TaskTrace, text: str, evidence: Iterable[AnyEvent]
) -> Problem:
    events = list(evidence)[:MAX_EVIDENCE]
    return Problem(invariant=invariant.__name__, task_id=task.task_id, text=text, evidence=events)
