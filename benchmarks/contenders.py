"""What the measures of the JSON backend are held against: the bytes of its own commits, and other queues."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from distqueue.bench.loads import payload

PAYLOAD: Final = payload(200)
"""About 200 bytes of JSON."""


def last_commits(store: Path, count: int) -> list[bytes]:
    """Return the newest commits of a ``Queue.json`` as they were written, brackets included."""
    lines = store.read_bytes().rstrip().removesuffix(b"\n]}").split(b"\n")
    return [b",\n" + line.rstrip(b",") + b"\n]}" for line in lines[-count:]]
