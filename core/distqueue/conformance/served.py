"""The suite through a broker process's loop: the same clauses, with a pipe or a socket in between.

    class TestAcmeThroughAPipe(ThroughAPipe, BackendConformance):
        url = "acme://…"

The loop runs in a thread of the test, as a process for each store would take most of the time; what goes
over the wire is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, Unpack

from distqueue.broker import Broker
from distqueue.broker.channel import Channel
from distqueue.conformance.harness import Harness
from distqueue.conformance.serving import Serving
from distqueue.conformance.suite.subject import StoreOptions, Subject
from distqueue.opening import open_broker


class ServedHarness(Harness):
    """That of the store, and what can be done to those who serve it."""

    reasons: ClassVar[dict[str, str]] = {
        "holds_tasks": "it is served by the process of the test; the store itself is traced directly",
    }

    def __init__(self, inner: Harness, servings: dict[str, Serving]) -> None:
        super().__init__(inner.url, inner.directory)
        self._inner = inner
        self._servings = servings

    def missing(self, ability: str) -> str | None:
        return super().missing(ability) if ability in _OURS else self._inner.missing(ability)

    def fresh_url(self) -> str:
        return self._inner.fresh_url()

    def absent_url(self) -> str:
        return self._inner.absent_url()

    def engine(self) -> str:
        return self._inner.engine()

    def close(self) -> None:
        self._inner.close()

    def advance(self, seconds: float) -> None:
        self._inner.advance(seconds)

    def step_clock(self, seconds: float) -> None:
        self._inner.step_clock(seconds)

    def connect(self, url: str) -> object:
        return self._inner.connect(url)

    def cut_connections(self) -> None:
        for serving in self._running():
            serving.cut()

    def restart_engine(self) -> None:
        for serving in self._running():
            serving.restart()

    def _running(self) -> list[Serving]:
        return [serving for serving in self._servings.values() if serving.runs]


_OURS: Final = ("cut_connections", "restart_engine", "holds_tasks")


class ThroughASocket(Subject):
    """The store of each test is served, and reached through a Unix socket."""

    def examples(self, most: int) -> int:
        # What random walks find out about the store itself, they find out without a broker process, too.
        return min(super().examples(most), max(1, most // 4))

    def before_campaign(self, *, broker: bool) -> None:
        if broker:
            self.not_run("a broker process of its own serves the store, which is held where nobody else does")

    def make_rig(self, directory: Path) -> Harness:
        self.servings: dict[str, Serving] = {}
        return ServedHarness(super().make_rig(directory), self.servings)

    def open(self, url: str | None = None, *, create: bool = True, **options: Unpack[StoreOptions]) -> Broker:
        place = url or self.store
        if not create:
            open_broker(place, create=False).close()  # serving a store creates it
        serving = self.servings.get(place)
        if serving is None or not serving.runs:
            serving = self.servings[place] = Serving(place, **options)
        return self.opened(serving.enter(self.way_in(serving)))

    def way_in(self, serving: Serving) -> Callable[[], Channel]:
        """Return what opens a channel."""
        return serving.dial_socket


class ThroughAPipe(ThroughASocket):
    """The store of each test is served, and reached through a pipe."""

    def before_campaign(self, *, broker: bool) -> None:
        super().before_campaign(broker=broker)
        self.not_run("other processes go through the socket, which is held there")

    def way_in(self, serving: Serving) -> Callable[[], Channel]:
        return serving.dial_pipe
