"""A process that has a store open and does as it is told, one JSON line at a time.

Run with the store's path and its options as JSON. It answers each line with one line: a value, or
the name and the message of an error.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import msgspec

from distqueue import commands as c
from distqueue.commands import AnyCommand
from distqueue.errors import DistqueueError
from distqueue.results import Outcome
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.json.options import JsonOptions


class Request(msgspec.Struct, kw_only=True):
    """What the process is told; one field is given."""

    apply: list[AnyCommand] = []
    wait: float | None = None
    lock: bool = False
    limit: int | None = None


class Agent:
    """Has one store open."""

    def __init__(self, path: str, options: JsonOptions) -> None:
        self._backend = JsonBackend(path, options)

    def answer(self, request: Request) -> Any:
        """Do as told and return the answer."""
        if request.limit is not None:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard if request.limit < 0 else request.limit, hard))
            return "limited"
        if request.lock:
            self._backend._lock.acquire()
            return "locked"
        if request.wait is not None:
            return self._wait(request.wait)
        return [_told(outcome) for outcome in self._backend.apply(request.apply)]

    def _wait(self, timeout: float) -> str:
        """Claim, and when there is nothing say so, wait and claim again."""
        (empty,) = self._backend.apply([c.Claim(queue="q", token="agent")])  # noqa: S106 - no password
        if getattr(empty, "leases", None):
            return "claimed at once"
        _say("waiting")
        self._backend.wait("q", getattr(empty, "seen"), timeout)  # noqa: B009
        (claimed,) = self._backend.apply([c.Claim(queue="q", token="agent")])  # noqa: S106
        return "woken" if getattr(claimed, "leases", None) else "woken for nothing"


def _told(outcome: Outcome) -> Any:
    if isinstance(outcome, DistqueueError):
        return {"refused": type(outcome).__name__, "message": str(outcome)}
    return outcome


def _say(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value, enc_hook=bytes) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    agent = Agent(sys.argv[1], msgspec.json.decode(sys.argv[2], type=JsonOptions))
    _say("ready")
    for line in sys.stdin.buffer:
        try:
            _say(agent.answer(msgspec.json.decode(line, type=Request)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shall see it
            _say({"raised": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    main()
