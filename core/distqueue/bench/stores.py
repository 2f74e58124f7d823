"""The stores that are measured: always new ones, so that nothing of anybody's is touched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

import msgspec

from distqueue.bench.contender import Distqueue, Subject
from distqueue.errors import ConfigError
from distqueue.filesystems import file_system_of
from distqueue.ids import new_token
from distqueue.opening import BROKER_SCHEME
from distqueue.urls import StoreURL


def subject_of(place: StoreURL) -> Subject:
    """Return what is measured for a URL, once a store of its kind has been opened.

    Raises:
        ConfigError: the URL, one of its options or its directory is not there or not right.
        StoreError: no store can be opened there.
    """
    fresh = partial(fresh_store, place, f"bench-{new_token()}")
    with fresh() as opening, closing(opening()) as contender:
        promised = contender.queue.capabilities()
    return Subject(str(place), promised.durability, fresh, promised.shared_between_processes)


@contextmanager
def fresh_store(place: StoreURL, queue: str) -> Iterator[Callable[[], Distqueue]]:
    """Make a store of the kind that a URL names, never the one that it names; it is gone at the end.

    A file is made in a new directory beside the URL's path. Where the URL names no file (memory, a server,
    a broker process), a queue is used in what it names, and purged at the end; its name stays in a server's
    list, so it is the same one each time.

    Raises:
        ConfigError: the directory of the URL's path does not exist.
    """
    if is_beside(place):
        with fresh_directory(directory_of(place)) as directory:
            path = os.path.join(directory, os.path.basename(place.file_path()))
            yield partial(Distqueue, msgspec.structs.replace(place, path=path).unredacted())
        return
    opening = partial(Distqueue, place.unredacted(), queue)
    try:
        yield opening
    finally:
        with closing(opening()) as contender:
            contender.queue.purge()


def is_beside(place: StoreURL) -> bool:
    """Whether the store that is measured is a new file beside the URL's path."""
    return place.is_file and place.scheme != BROKER_SCHEME


def directory_of(place: StoreURL) -> str:
    """Return the directory in which new stores for a URL are made, without symbolic links.

    Raises:
        ConfigError: it does not exist.
    """
    directory = os.path.realpath(os.path.dirname(place.file_path()) or os.curdir)
    if not os.path.isdir(directory):
        raise ConfigError(f"{place}: {directory} is not a directory; create it, or name another path")
    return directory


@contextmanager
def fresh_directory(parent: str) -> Iterator[str]:
    """Give a new directory in ``parent``, which is removed when the block ends.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        directory = tempfile.mkdtemp(prefix="distqueue-bench-", dir=parent)
    except OSError as error:
        raise ConfigError(
            f"no store can be made in {parent}: {error.strerror}; name a path in another directory"
        ) from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def costs_nothing(directory: str) -> bool:
    """Whether a sync costs nothing in a directory, as it is in memory."""
    return file_system_of(directory) in ("tmpfs", "ramfs")
