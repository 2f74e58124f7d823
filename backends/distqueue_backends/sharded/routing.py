"""To which shard a task goes: fixed for all time, as it decides where a store is looked into.

A task goes by its group, so that a group is in one shard and keeps its order; one without a group goes by
its id. ``docs/formats/sharded-json.md`` has the rule and examples.
"""

from __future__ import annotations

import zlib

from distqueue.commands import Put
from distqueue.task import RememberedTask, TaskRecord


def shard_of(key: object, shards: int) -> int:
    """Return the number of the shard for a group or a task id; one that is no text is refused there.

    >>> shard_of("customer-17", 8)
    7
    """
    if not isinstance(key, str):
        return 0
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % shards


def key_of_put(put: Put) -> str:
    """Return what a new task goes by."""
    group = getattr(put.options, "group", None)
    return put.task_id if group is None else group


def key_of_record(record: TaskRecord | RememberedTask) -> str:
    """Return what a task of another store goes by; what is remembered has no group (any more)."""
    group = record.group if isinstance(record, TaskRecord) else None
    return record.task_id if group is None else group
