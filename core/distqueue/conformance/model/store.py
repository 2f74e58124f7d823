"""The model of a store: each command with the answers that it may have."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from math import inf
from typing import Any

from distqueue.capabilities import Capabilities, Ordering
from distqueue.commands import (
    Ack,
    Browse,
    Cancel,
    Claim,
    Command,
    Find,
    Pause,
    Purge,
    Put,
    Redrive,
    Resume,
    Settle,
    Stats,
)
from distqueue.conformance.model.answers import ANYTHING, AnyOrder, Between, Fields, Possible, Takes
from distqueue.conformance.model.queue import ModelQueue
from distqueue.conformance.model.settling import settle
from distqueue.conformance.model.tasks import ModelTask
from distqueue.errors import (
    AlreadySettled,
    DistqueueError,
    GroupPriorityMismatch,
    PayloadMismatch,
    TaskNotFound,
    UniqueTaken,
    Unsupported,
)
from distqueue.results import (
    Browsed,
    Claimed,
    Counted,
    Found,
    Outcome,
    PauseSet,
    Purged,
    Redriven,
    Removed,
    Settled,
    Stored,
)
from distqueue.task import TaskState


class Disagreement(DistqueueError):
    """An outcome is none of those that the model allows."""


class Model:
    """A store as the contract has it, for a backend that declares these capabilities.

    >>> model = Model(broker.capabilities)
    >>> model.follow(model.apply(command, now), broker.apply([command])[0])
    """

    def __init__(self, capabilities: Capabilities) -> None:
        self.in_order = capabilities.ordering is Ordering.QUEUE
        window = inf if capabilities.dedup_window is None else capabilities.dedup_window
        self.window = 0.0 if capabilities.dedup_max == 0 else window
        self.queues: dict[str, ModelQueue] = {}

    def queue(self, name: str) -> ModelQueue:
        """The queue with a name; there is always one."""
        return self.queues.setdefault(name, ModelQueue(self.window))

    def apply(self, command: Command, now: float) -> list[Possible]:
        """Return the answers that a command may have now, in seconds since the epoch."""
        queue = self.queue(command.queue)
        match command:
            case Put():
                return self._put(queue, command, now)
            case Claim(again=True):
                return self._claim_again(queue, command, now)
            case Claim():
                return self._claim(queue, command, now)
            case Ack(then=(_, *_)):
                return self._ack_then(queue, command, now)
            case Settle():
                return settle(queue, command, now)
            case Pause() | Resume():
                return self._pause(queue, isinstance(command, Pause))
            case Cancel():
                return self._cancel(queue, command, now)
            case Purge():
                return self._purge(queue, command, now)
            case Redrive():
                return self._redrive(queue, command)
            case _:
                return self._read(queue, command, now)

    def follow(self, possible: Sequence[Possible], outcome: Outcome) -> None:
        """Change as an outcome says.

        Raises:
            Disagreement: it is none of the possible ones.
        """
        for each in possible:
            if each.fits(outcome):
                each.effect(outcome)
                return
        raise Disagreement(f"expected {' or '.join(map(str, possible))}")

    # --- Publishing ---------------------------------------------------------------------------------

    def _put(self, queue: ModelQueue, put: Put, now: float) -> list[Possible]:
        known = queue.find(put.task_id)
        if known is not None:
            return [_known(put, known.data)]
        gone = queue.find_gone(put.task_id)
        if gone is not None and now < gone.surely:
            return [_known(put, gone.data)]
        new = self._put_new(queue, put, now)
        return [_known(put, gone.data), *new] if gone is not None and now < gone.perhaps else new

    def _put_new(self, queue: ModelQueue, put: Put, now: float) -> list[Possible]:
        refusals = _refusals(queue, put.options.unique, put.options.group, put.options.priority)
        due = put.due if put.delay is None else now + put.delay
        if due is not None and due <= now:
            due = None
        new = {"task_id": put.task_id, "duplicate": False}
        return refusals or [Possible(Stored, new, lambda outcome: queue.add(put, due, now))]

    def _ack_then(self, queue: ModelQueue, ack: Ack, now: float) -> list[Possible]:
        """All or nothing: what the follow-up tasks come to is tried on a copy."""
        answers = settle(queue, ack, now)
        acked = next((task for task in queue.tasks if task.holds(ack.receipt, now)), None)
        if acked is None:
            return self._too_late(answers, ack, now)
        (possible,) = answers
        trial = deepcopy(self)
        settle(trial.queue(ack.queue), ack, now)[0].effect(None)
        refusals = [Possible(kind) for kind in _contradictions(ack, acked)]
        for put in ack.then:
            answers = trial.apply(put, now)
            refusals += [Possible(each.kind, each.values) for each in answers if each.is_refusal]
            stored = next((each for each in answers if not each.is_refusal), None)
            if stored is None:
                return refusals
            stored.effect(None)

        def effect(outcome: Settled) -> None:
            possible.effect(outcome)
            for put, answer in zip(ack.then, outcome.then, strict=True):
                self.follow(self.apply(put, now), answer)

        values = {**possible.values, "then": [ANYTHING] * len(ack.then)}
        return [Possible(Settled, values, effect), *refusals]

    def _too_late(self, answers: list[Possible], ack: Ack, now: float) -> list[Possible]:
        """An ack whose delivery is not out: it is the same again only if its follow-up tasks are known.

        None is stored; where one would have been refused as well, the refusal may name that.
        """
        of_puts = [each for put in ack.then for each in self.apply(put, now)]
        refusals = [each for each in of_puts if each.is_refusal]
        if all(each.values.get("duplicate") for each in of_puts):
            return answers
        stale = [Possible(AlreadySettled) if each.kind is Settled else each for each in answers]
        return [*stale, *refusals]

    # --- Claiming -----------------------------------------------------------------------------------

    def _claim(self, queue: ModelQueue, claim: Claim, now: float) -> list[Possible]:
        if queue.paused:
            return [Possible(Claimed, {"leases": []})]
        queue.notice(now)
        line = queue.line()
        until = now + claim.lease

        def effect(outcome: Claimed) -> None:
            for lease in outcome.leases:
                task = next(task for task in line if task.task_id == lease.task_id)
                task.state, task.until, task.token = TaskState.LEASED, until, claim.token
                task.receipts.append(lease.receipt)

        return [
            Takes(
                Claimed,
                {},
                effect,
                offers=[task.lease(until) for task in line],
                count=min(claim.count, len(line)),
                in_order=self.in_order,
                used=frozenset(receipt for task in queue.tasks for receipt in task.receipts),
            )
        ]

    def _claim_again(self, queue: ModelQueue, claim: Claim, now: float) -> list[Possible]:
        out = [task for task in queue.in_state(TaskState.LEASED) if task.token == claim.token]
        offers = [task.lease(task.until or 0.0, task.receipts[-1]) for task in out if not task.is_over(now)]
        took = Takes(Claimed, offers=offers, count=len(offers), in_order=False)
        return [took, Possible(Unsupported)]

    def _pause(self, queue: ModelQueue, paused: bool) -> list[Possible]:
        return [Possible(PauseSet, {"paused": paused}, lambda outcome: setattr(queue, "paused", paused))]

    # --- Administration -----------------------------------------------------------------------------

    def _cancel(self, queue: ModelQueue, cancel: Cancel, now: float) -> list[Possible]:
        task = queue.find(cancel.task_id)
        if task is None:
            return [Possible(TaskNotFound)]
        removed = {"task_id": task.task_id, "state": task.state}
        return [Possible(Removed, removed, lambda outcome: queue.end(task, "cancel", now))]

    def _purge(self, queue: ModelQueue, purge: Purge, now: float) -> list[Possible]:
        tasks = queue.in_state(*purge.states)

        def effect(outcome: object) -> None:
            for task in tasks:
                queue.end(task, "purge", now)

        return [Possible(Purged, {"count": len(tasks)}, effect)]

    def _redrive(self, queue: ModelQueue, redrive: Redrive) -> list[Possible]:
        trial = deepcopy(queue)
        dead = [task.task_id for task in queue.in_state(TaskState.DEAD) if _is_meant(task, redrive)]
        refused = {name: why for name in dead if (why := _revive(trial, name))}
        values = {"count": len(dead) - len(refused), "refused": tuple(refused)}

        def effect(outcome: object) -> None:
            for name in dead:
                _revive(queue, name)

        others: list[Possible] = []
        if redrive.task_id is not None:  # of one task a backend may say more
            others = [each for why in refused.values() for each in why] if dead else [Possible(TaskNotFound)]
        return [Possible(Redriven, values, effect), *others]

    # --- Reading ------------------------------------------------------------------------------------

    def _read(self, queue: ModelQueue, command: Command, now: float) -> list[Possible]:
        match command:
            case Find():
                return _found(queue, command, now)
            case Browse(order="line"):
                line = [Fields({"task_id": task.task_id}) for task in queue.line()]
                return [_Begins(Browsed, {"tasks": line[: command.limit]})]
            case Browse():
                tasks = [task.record() for task in queue.in_state(*command.states)]
                return [Possible(Browsed, {"tasks": tasks if self.in_order else AnyOrder(tasks)})]
            case Stats():
                return _counted(queue, command.queue, now)
        raise NotImplementedError(command)


class _Begins(Possible):
    """A listing that begins with these tasks."""

    def fits(self, outcome: Outcome) -> bool:
        tasks: Any = self.values["tasks"]
        begin = Browsed(tasks=outcome.tasks[: len(tasks)]) if isinstance(outcome, Browsed) else outcome
        return super().fits(begin)


def _known(put: Put, data: bytes) -> Possible:
    """The answer to a put of a known id."""
    if bytes(put.data) != bytes(data):
        return Possible(PayloadMismatch)
    return Possible(Stored, {"task_id": put.task_id, "duplicate": True})


def _refusals(queue: ModelQueue, unique: str | None, group: str | None, priority: int) -> list[Possible]:
    """Why no new task with these options may be on its way."""
    refusals: list[Possible] = []
    holder = queue.holder(unique)
    if unique is not None and holder is not None:
        refusals.append(Possible(UniqueTaken, {"task_id": holder.task_id}))
    if group is not None and any(member.options.priority != priority for member in queue.members(group)):
        refusals.append(Possible(GroupPriorityMismatch))
    return refusals


def _contradictions(ack: Ack, acked: ModelTask) -> set[type]:
    """The refusals of follow-up tasks that may be held to contradict each other, or the acked task.

    Whether its group is empty for them already, or its id free, is not said, nor how they are refused.
    """
    if any((put.queue, put.task_id) == (ack.queue, acked.task_id) for put in ack.then):
        return {PayloadMismatch, GroupPriorityMismatch, UniqueTaken}
    known: dict[tuple[str, ...], object] = {}
    if acked.options.group is not None:
        known[ack.queue, "group", acked.options.group] = acked.options.priority
    for put in ack.then:
        options = put.options
        for name, key, value in (
            ("id", put.task_id, put.data),
            ("group", options.group, options.priority),
            ("unique", options.unique, put.task_id),
        ):
            if key is not None and known.setdefault((put.queue, name, key), value) != value:
                return {PayloadMismatch, GroupPriorityMismatch, UniqueTaken}
    return set()


def _is_meant(task: ModelTask, redrive: Redrive) -> bool:
    if redrive.task_id is not None:
        return task.task_id == redrive.task_id
    return redrive.error is None or redrive.error in str(task.error)


def _revive(queue: ModelQueue, task_id: str) -> list[Possible]:
    """Make a dead task ready again, or return why not."""
    task = queue.find(task_id)
    assert task is not None
    options = task.options
    refusals = _refusals(queue, options.unique, options.group, options.priority)
    if not refusals:
        task.number, task.attempt = queue.next_number(), 1
        task.error = ANYTHING
        queue.make_ready(task, at_the_end=True)
    return refusals


def _found(queue: ModelQueue, find: Find, now: float) -> list[Possible]:
    """A task as it is, and if its time is over also as it will be once that is noticed."""
    task = queue.find(find.task_id)
    found = [Possible(Found, {"task": None if task is None else task.record()})]
    if task is not None and task.is_over(now):
        later = deepcopy(queue)
        later.notice(now)
        found += _found(later, find, now)
    return found


def _counted(queue: ModelQueue, name: str, now: float) -> list[Possible]:
    counts: dict[str, object] = {state.value: len(queue.in_state(state)) for state in TaskState}
    counts["waiting"] = sum(map(queue.is_held_back, queue.in_state(TaskState.READY)))
    counts["expired"], counts["paused"] = queue.expired, queue.paused
    due = [task.until for task in queue.in_state(TaskState.SCHEDULED) if task.until is not None]
    counts["next_due_at"] = min(due, default=None)
    surely = {gone.task_id for gone in queue.gone if now < gone.surely}
    counted = Possible(
        Counted,
        {"queues": [Fields({"queue": name, **counts, "remembered": Between(len(surely), len(queue.gone))})]},
    )
    nothing = not any(counts.values()) and not surely
    return [counted, *([Possible(Counted, {"queues": []})] if nothing else [])]
