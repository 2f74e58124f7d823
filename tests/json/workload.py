"""A publisher or a consumer that works without end until it is killed, and says what was acknowledged.

Run with a role (``publish`` or ``consume``), the store's path and a name for its tasks.
"""

from __future__ import annotations

import os
import sys
from itertools import count

from distqueue.commands import Ack, Claim, Put
from distqueue.payload import encode
from distqueue.results import Claimed, Settled, Stored
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.json.options import JsonOptions

LEASE = 0.5


def say(*words: object) -> None:
    """Write one line in one call, so that a kill leaves no half of one."""
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def publish(backend: JsonBackend, name: str) -> None:
    for number in count():
        size = number % 7
        ids = [f"{name}-{number}-{each}" for each in range(1 + size)]
        puts = [Put(queue="q", task_id=each, data=encode([each] * (1 + size * 50))) for each in ids]
        if all(isinstance(outcome, Stored) for outcome in backend.apply(puts)):
            say("stored", *ids)


def consume(backend: JsonBackend, name: str) -> None:
    for number in count():
        token = f"{name}-{number}"
        (claimed,) = backend.apply([Claim(queue="q", token=token, count=4, lease=LEASE)])
        assert isinstance(claimed, Claimed)
        if not claimed.leases:
            backend.wait("q", claimed.seen, 1.0)
            continue
        say("claimed", *[lease.task_id for lease in claimed.leases])
        for lease in claimed.leases:
            (outcome,) = backend.apply([Ack(queue="q", receipt=lease.receipt)])
            if isinstance(outcome, Settled):
                say("done", lease.task_id)


if __name__ == "__main__":
    role, path, name = sys.argv[1:]
    store = JsonBackend(path, JsonOptions(lock_timeout=60.0))
    say("ready")
    (publish if role == "publish" else consume)(store, name)
