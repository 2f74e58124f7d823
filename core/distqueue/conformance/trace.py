"""A history by task: its events, and how each repeated delivery is explained."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

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
    answered: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When settling commands were answered with ok, by receipt."""
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
    faults: int = 0
    """How often harm was done, of whatever kind."""

    def task(self, task_id: str) -> TaskTrace:
        """The trace of one task, begun if there is none yet."""
        trace = self.tasks.get(task_id)
        if trace is None:
            trace = self.tasks[task_id] = TaskTrace(task_id)
        return trace

    def killed(self, process: str, before: float) -> bool:
        """Whether the process had been killed by then."""
        return self.kills.get(process, float("inf")) <= before


def gather(history: Iterable[AnyEvent]) -> Trace:
    """Sort the events of a history by task."""
    trace = Trace()
    for event in history:
        _add(trace, event)
    for task in trace.tasks.values():
        task.deliveries.sort(key=lambda delivered: delivered.deliveries)
        for answers in task.answered.values():
            answers.sort()
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
            trace.task(event.task_id).answered[event.receipt].append(event.at)
        case SettleStale():
            trace.task(event.task_id).stale.append(event)
        case SettleUnknown():
            trace.task(event.task_id).settle_unknown.append(event)
        case Fault():
            trace.faults += event.kind != "continue"
            if event.kind == "kill":
                trace.kills[event.victim] = event.at
                trace.first_kill = min(trace.first_kill, event.at)
        case Drained():
            trace.drained = event


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
    answered = task.answered.get(delivered.receipt, [])
    for event in task.settling.get(delivered.receipt, ()):
        if event.verb == "extend" and event.at <= until:
            first = bisect_left(answered, event.at)
            carried_out = first < len(answered) and answered[first] <= until
            end = event.at + event.lease if carried_out else min(end, event.at + event.lease)
    return end
