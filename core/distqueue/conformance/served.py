"""The suite through a broker process's loop: the same clauses, with a pipe or a socket in between.

    class TestAcmeThroughAPipe(ThroughAPipe, BackendConformance):
        url = "acme://…"

The loop runs in a thread of the test, as a process for each store would take most of the time; what goes
over the wire is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from distqueue.broker import Broker
from distqueue.broker.channel import Channel
from distqueue.conformance.serving import Serving
from distqueue.conformance.suite.subject import StoreOptions, Subject
from distqueue.opening import open_broker


class ThroughASocket(Subject):
    """The store of each test is served, and reached through a Unix socket."""

    def open(self, url: str | None = None, *, create: bool = True, **options: Unpack[StoreOptions]) -> Broker:
        place = url or self.store
        if not create:
            open_broker(place, create=False).close()  # serving a store creates it
        servings: dict[str, Serving] = self.__dict__.setdefault("_servings", {})
        serving = servings.get(place)
        if serving is None or not serving.runs:
            serving = servings[place] = Serving(place, **options)
        broker = serving.enter(self.way_in(serving))
        self.cleanup.callback(broker.close)
        return broker

    def way_in(self, serving: Serving) -> Callable[[], Channel]:
        """Return what opens a channel."""
        return serving.dial_socket


class ThroughAPipe(ThroughASocket):
    """The store of each test is served, and reached through a pipe."""

    def way_in(self, serving: Serving) -> Callable[[], Channel]:
        return serving.dial_pipe
