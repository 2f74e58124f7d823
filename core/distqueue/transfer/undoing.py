"""What can be done about a move: take it back while it is under way, or empty the source afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from distqueue.errors import Refused
from distqueue.fences import EVERY, FenceLevel
from distqueue.transfer.ends import End

_HALFWAY = (FenceLevel.DRAINING, FenceLevel.FROZEN)


def undo_move(source: End, target: End, queues: Sequence[str] | None = None) -> list[str]:
    """Take back a move that has not finished; return the queues that are open at the source again.

    First the destination forgets what it was given, then the source is opened. Interrupted, it can be
    done again.

    Raises:
        Refused: nothing is on its way, or all has arrived.
    """
    names = queues or sorted({*source.queues(), *target.queues()})
    halfway = [name for name in names if _stands(source, name, target, *_HALFWAY)]
    filling = [
        name
        for name in names
        if _stands(target, name, source, FenceLevel.FILLING)
        and not _stands(source, name, target, FenceLevel.MOVED)
    ]
    level, note = source.fence_of_all()
    is_closed = queues is None and level in _HALFWAY and note == target.name
    if not (halfway or filling or is_closed):
        raise Refused(
            f"no queue is on its way from {source.name} to {target.name}, so nothing is taken back. What has "
            "arrived comes back with `distqueue move`, the other way round"
        )
    target.clear(filling)
    comes_back = target.fence_of_all()[1] == source.name  # the destination had itself moved to the source
    target.must_fence(filling, FenceLevel.MOVED if comes_back else FenceLevel.NONE, source)
    source.must_fence(halfway, FenceLevel.NONE, target)
    if is_closed:
        source.must_fence([EVERY], FenceLevel.NONE, target)
    return halfway


def empty_source(source: End, target: End, queues: Sequence[str]) -> None:
    """Forget what queues hold that have moved; the fence stays, and says where they are.

    Raises:
        Refused: one of them has not arrived, or is not at the destination any more.
    """
    arrived = target.queues()
    for name in queues:
        if name not in arrived:
            raise Refused(
                f"queue {name} moved to {target.name}, which does not have it any more; {source.name} is "
                "kept, as it may be the only one that has its tasks"
            )
        if not _stands(source, name, target, FenceLevel.MOVED) or _stands(
            target, name, source, FenceLevel.FILLING
        ):
            raise Refused(f"queue {name} has not moved to {target.name} in full; run `distqueue move` again")
    source.clear(queues)


def _stands(end: End, queue: str, other: End, *levels: FenceLevel) -> bool:
    stats = end.stats(queue)
    return stats.fence in levels and stats.fence_note == other.name
