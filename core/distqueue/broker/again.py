"""Asking again what may have been carried out already, as the answer was lost with a broker process.

That is safe: a task has its id, a claim its token and a settlement its receipt, so the store knows what it
has seen. What is left to be done here is to make the answers those of the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from distqueue.commands import Claim, Command, Find, Put
from distqueue.results import Claimed, Found, Outcome, Stored

type Applying = Callable[[Sequence[Command]], list[Outcome]]


def apply_again(apply: Applying, commands: Sequence[Command], began: float) -> list[Outcome]:
    """Carry out commands of which it is not known whether they were carried out since ``began``.

    What the claims took the first time is handed out, instead of more; what the puts stored then is no
    duplicate. ``began`` is in seconds since the Unix epoch.
    """
    again = [replace(each, again=True) for each in commands if isinstance(each, Claim)]
    found = iter(apply(again) if again else ())
    kept = [next(found) if isinstance(each, Claim) else None for each in commands]
    taken = [isinstance(each, Claimed) and bool(each.leases) for each in kept]
    rest = [command for command, is_taken in zip(commands, taken) if not is_taken]
    answers = iter(apply(rest) if rest else ())
    outcomes = [one if is_taken and one else next(answers) for one, is_taken in zip(kept, taken)]
    return _without_own_traces(apply, commands, outcomes, began)


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
