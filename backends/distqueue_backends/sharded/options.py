"""The options of ``sharded-json:`` URLs, and what the backend promises."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from distqueue.capabilities import Ordering
from distqueue_backends.json.options import JSON_CAPABILITIES, JsonOptions
from distqueue_backends.sharded.manifest import MOST_SHARDS

SHARDS: Final = 8
"""How many shards a new store has unless its URL says otherwise."""


class ShardedOptions(JsonOptions, frozen=True, kw_only=True):
    """What can be set in the URL: that of a single JSON store, and the number of shards.

    ``dedup_max`` is for each shard. ``shards`` is what a new store gets; of one that is there it has to
    be the number in its manifest, or left out.
    """

    shards: Annotated[int, Meta(ge=1, le=MOST_SHARDS)] | None = None


SHARDED_CAPABILITIES: Final = msgspec.structs.replace(
    JSON_CAPABILITIES, ordering=Ordering.SHARD, atomic_batch=False, unique=False
)
