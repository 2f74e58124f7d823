"""Asking again what may have been carried out already, as the answer was lost with a broker process.

That is safe: a task has its id, a claim its token and a settlement its receipt, so the store knows what it
has seen. What is left to be done here is to make the answers those of the first time.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence, Sequence
from contextlib import suppress

from msgspec.structs import replace

from distqueue.commands import Claim, Command, Find, Put, Release, Retry
from distqueue.errors import LeaseLost
from distqueue.ids import parse_receipt
from distqueue.results import Claimed, Found, Outcome, Settled, Stored
from distqueue.task import TaskState

type Applying = Callable[[Sequence[Command]], list[Outcome]]


def apply_again(apply: Applying, commands: Sequence[Command], began: float) -> list[Outcome]:
    """Carry out commands of which it is not known whether they were carried out since ``began``.

    What the claims took the first time is handed out, instead of more; what the puts stored then is no
    duplicate; what was given back then, and handed out again since, is no lost lease. ``began`` is in
    seconds since the Unix epoch.
    """
    again = [replace(each, again=True) for each in commands if isinstance(each, Claim)]
    found = iter(apply(again) if again else ())
    kept = [next(found) if isinstance(each, Claim) else None for each in commands]
    taken = [isinstance(each, Claimed) and bool(each.leases) for each in kept]
    rest = [command for command, is_taken in zip(commands, taken) if not is_taken]
    answers = iter(apply(rest) if rest else ())
    outcomes = [one if is_taken and one else next(answers) for one, is_taken in zip(kept, taken)]
    _accept_given_back(apply, commands, outcomes)
    return _without_own_traces(apply, commands, outcomes, began)


def _accept_given_back(
    apply: Applying, commands: Sequence[Command], outcomes: MutableSequence[Outcome]
) -> None:
    """Say of a delivery that was to be given back, and is superseded, that it was.

    Should its lease have run out first, then the task is back in line all the same.
    """
    given_back = [
        (position, task_id, command.queue)
        for position, (command, outcome) in enumerate(zip(commands, outcomes))
        if isinstance(command, Release | Retry) and isinstance(outcome, LeaseLost)
        if (task_id := _task_id(command.receipt)) is not None
    ]
    finds = [Find(queue=queue, task_id=task_id) for _, task_id, queue in given_back]
    for (position, task_id, _), answer in zip(given_back, apply(finds) if finds else ()):
        task = answer.task if isinstance(answer, Found) else None
        outcomes[position] = Settled(task_id=task_id, state=TaskState.DONE if task is None else task.state)


def _task_id(receipt: str) -> str | None:
    """Return the task of a receipt, if it is one."""
    with suppress(LeaseLost):
        return parse_receipt(receipt)[0]
    return None


def _without_own_traces(
    apply: Applying, commands: Sequence[Command], outcomes: list[Outcome], began: float
) -> list[Outcome]:
    """Say of the tasks that were put since ``began`` that they were not there before."""
    first: dict[tuple[str, str], tuple[int, Put]] = {}
    for position, command in enumerate(commands):
        if isinstance(command, Put):
            first.setdefault((command.queue, command.task_id), (position, command))
    doubtful = [(at, put) for at, put in first.values() if getattr(outcomes[at], "duplicate", False)]
    finds = [Find(queue=put.queue, task_id=put.task_id) for _, put in doubtful]
    for (position, put), answer in zip(doubtful, apply(finds) if finds else ()):
        if not (isinstance(answer, Found) and answer.task is not None and answer.task.put_at < began):
            outcomes[position] = Stored(task_id=put.task_id)
    return outcomes
