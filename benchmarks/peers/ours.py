"""Our own backends in the comparison."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, NamedTuple

from benchmarks.peers.peer import LEASE
from distqueue.bench.contender import Distqueue, Opening, Subject
from distqueue.bench.stores import fresh_directory, subject_of
from distqueue.supervisor import Supervisor
from distqueue.urls import parse_url


class Ours(NamedTuple):
    """A store of ours: the URL, and whether a broker process serves it."""

    name: str
    url: str
    """``{}`` stands for the directory."""
    is_served: bool = False

    def subject(self, parent: str) -> Subject:
        """Return what is measured: new stores of it, in ``parent``."""
        promised = subject_of(parse_url(self.url.format(parent)))
        fresh = partial(_fresh, parent, self.url, is_served=self.is_served)
        return promised._replace(name=self.name, fresh=fresh)


BACKENDS: Final = [
    Ours("distqueue json", "json:///{}/Queue.json"),
    Ours("distqueue json, broker process", "json:///{}/Queue.json", is_served=True),
    Ours("distqueue sqlite", "sqlite:///{}/jobs.db"),
    Ours("distqueue sharded-json", "sharded-json:///{}/queue.d"),
]


@contextmanager
def _fresh(parent: str, url: str, *, is_served: bool) -> Iterator[Opening]:
    with fresh_directory(parent) as directory:
        place = url.format(directory)
        opening = partial(Distqueue, place, lease=LEASE)
        if not is_served:
            yield opening
            return
        with served(place):
            yield opening


@contextmanager
def served(url: str) -> Iterator[Supervisor]:
    """Serve a store from a broker process."""
    supervisor = Supervisor(parse_url(url), {})
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
