"""Commands about all tasks of a queue: what each shard is asked, and one answer out of theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from msgspec.structs import replace

from distqueue.commands import (
    Browse,
    Claim,
    Clear,
    Command,
    Fence,
    Pause,
    Purge,
    Redrive,
    Remembered,
    Resume,
    Stats,
)
from distqueue.fences import FenceLevel, Fencing, lowest
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.results import (
    Browsed,
    Claimed,
    Counted,
    Fenced,
    Outcome,
    Purged,
    QueueStats,
    Redriven,
)
from distqueue.task import TaskRecord
from distqueue_backends.sharded.claims import Ask
from distqueue_backends.sharded.manifest import MOST_SHARDS
from distqueue_backends.sharded.shards import Shards

type Answers = Sequence[tuple[int, Outcome]]
"""What the shards answered, each with its number."""

_SUMMED: Final = ("ready", "scheduled", "leased", "done", "dead", "waiting", "remembered", "expired")
_SUMMED_FACTS: Final = ("file_bytes", "used_bytes", "live_bytes", "commits")


def is_about_all(command: Command) -> bool:
    """Whether a command concerns every shard."""
    if isinstance(command, Claim):
        return command.again
    if isinstance(command, Redrive):
        return command.task_id is None
    return isinstance(command, Browse | Clear | Fence | Pause | Purge | Remembered | Resume | Stats)


def share(command: Command, number: int) -> Command:
    """Return what a shard is asked.

    Pages go by number and then by shard; the shards number their tasks each for itself. The ``after`` of
    a page is both in one.
    """
    if isinstance(command, Browse) and isinstance(command.after, int) and command.after > 0:
        after, last = divmod(command.after, MOST_SHARDS)
        return replace(command, after=after if number <= last else after - 1)
    return command


def merge(command: Command, answers: Answers, shards: Shards) -> Outcome:
    """Return the answer of the whole store; no shard refused."""
    return _MERGES[type(command)](command, answers, shards)


def page_of_memory(command: Remembered, shards: Shards, ask: Ask) -> Outcome:
    """Return a page of what is remembered: shard after shard, as each lists it by position."""
    after, first = divmod(command.after or 0, MOST_SHARDS)
    page = Browsed()
    for shard in shards:
        if shard.number < first:
            continue
        left = command.limit - len(page.remembered)
        if not left:
            return Browsed(remembered=page.remembered, next=after * MOST_SHARDS + shard.number)
        answer = ask(shard, [replace(command, limit=left, after=after)])[0]
        if not isinstance(answer, Browsed):
            return answer
        page = Browsed(remembered=page.remembered + answer.remembered)
        if answer.next is not None:
            return Browsed(remembered=page.remembered, next=answer.next * MOST_SHARDS + shard.number)
        after = 0
    return page


def _browsed(command: Browse, answers: Answers, shards: Shards) -> Outcome:
    pages = [(number, answer) for number, answer in answers if isinstance(answer, Browsed)]
    if command.order == "line":
        lines = [
            [(-task.priority, task.place or 0, number, task) for task in page.tasks] for number, page in pages
        ]
        first = sorted((item for line in lines for item in line), key=lambda item: item[:3])
        return Browsed(tasks=[task for *_, task in first[: command.limit]])
    tasks = sorted(
        ((task.number * MOST_SHARDS + number, task) for number, page in pages for task in page.tasks),
        key=lambda item: item[0],
    )
    ends = [page.next * MOST_SHARDS + number for number, page in pages if page.next is not None]
    taken = _page(tasks, command.limit, min(ends, default=None))
    is_last = len(taken) == len(tasks) and not ends
    return Browsed(tasks=[task for _, task in taken], next=None if is_last else taken[-1][0])


def _page(
    tasks: Sequence[tuple[int, TaskRecord]], limit: int, end: int | None
) -> Sequence[tuple[int, TaskRecord]]:
    """Return the first tasks: up to ``limit``, not beyond where a shard's page ended, nor too many bytes."""
    size = 0
    for count, (at, task) in enumerate(tasks, 1):
        size += len(bytes(task.data))
        size += sum(len(each.error or "") + len(each.traceback or "") for each in task.failures)
        if count == limit or at == end or size >= MAX_BATCH_BYTES:
            return tasks[:count]
    return tasks


def _claimed_again(command: Claim, answers: Answers, shards: Shards) -> Outcome:
    return Claimed(
        leases=[lease for _, answer in answers if isinstance(answer, Claimed) for lease in answer.leases]
    )


def _redriven(command: Redrive, answers: Answers, shards: Shards) -> Outcome:
    parts = [answer for _, answer in answers if isinstance(answer, Redriven)]
    return Redriven(
        count=sum(part.count for part in parts),
        refused=tuple([task_id for part in parts for task_id in part.refused]),
    )


def _purged(command: Purge, answers: Answers, shards: Shards) -> Outcome:
    return Purged(count=sum(answer.count for _, answer in answers if isinstance(answer, Purged)))


def _first(command: Command, answers: Answers, shards: Shards) -> Outcome:
    return answers[0][1]


def _fenced(command: Fence, answers: Answers, shards: Shards) -> Outcome:
    fence = lowest([Fencing.of(each.level, each.note) for _, each in answers if isinstance(each, Fenced)])
    return Fenced(level=fence.level, note=fence.note)


def _fence_of_all(parts: Sequence[Counted]) -> dict[str, str]:
    """Return the fence around what is not there yet, if one stands."""
    stores = [part.store for part in parts if "fence" in part.store]
    if not stores:
        return {}
    fence = lowest([Fencing(FenceLevel(str(each["fence"])), str(each["fence_note"])) for each in stores])
    return {"fence": fence.level.value, "fence_note": fence.note}


def _counted(command: Stats, answers: Answers, shards: Shards) -> Outcome:
    parts = [answer for _, answer in answers if isinstance(answer, Counted)]
    queues: dict[str, list[QueueStats]] = {}
    for part in parts:
        for stats in part.queues:
            queues.setdefault(stats.queue, []).append(stats)
    return Counted(
        queues=[_sum(name, queues[name]) for name in sorted(queues)],
        store={
            "path": shards.directory,
            "shards": shards.count,
            **_fence_of_all(parts),
            **({"damaged": ", ".join(shards.damaged)} if shards.damage else {}),
            **{name: sum(cast(int, part.store[name]) for part in parts) for name in _SUMMED_FACTS},
        },
    )


def _sum(queue: str, parts: Sequence[QueueStats]) -> QueueStats:
    fence = lowest([Fencing.of(part.fence, part.fence_note) for part in parts])
    return QueueStats(
        queue=queue,
        fence=fence.level,
        fence_note=fence.note,
        paused=any(part.paused for part in parts),
        oldest_ready_at=_earliest([part.oldest_ready_at for part in parts]),
        next_due_at=_earliest([part.next_due_at for part in parts]),
        **{name: sum(getattr(part, name) for part in parts) for name in _SUMMED},
    )


def _earliest(times: Sequence[float | None]) -> float | None:
    return min((at for at in times if at is not None), default=None)


_MERGES: Final[dict[type[Command], Callable[..., Outcome]]] = {
    Browse: _browsed,
    Claim: _claimed_again,
    Clear: _first,
    Fence: _fenced,
    Pause: _first,
    Purge: _purged,
    Redrive: _redriven,
    Resume: _first,
    Stats: _counted,
}
