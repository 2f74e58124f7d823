"""What is measured is always a new store; what is there stays as it is."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from distqueue import Queue
from distqueue.bench.stores import fresh_store, subject_of
from distqueue.broker.service import Service
from distqueue.errors import ConfigError
from distqueue.urls import parse_url

from .threads import serving


@pytest.mark.parametrize("url", ["json:///{}/Queue.json", "sqlite:///{}/jobs.db"])
def test_a_file_is_made_beside_the_one_that_the_url_names(url: str, tmp_path: Path) -> None:
    place = parse_url(url.format(tmp_path))
    with Queue(place, "bench") as queue:
        queue.put("mine")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with fresh_store(place, "bench") as opening:
        with closing(opening()) as contender:
            contender.put(["theirs"])
            assert contender.take(10) == ["theirs"]
            contender.put(["left behind"])
        (made,) = set(tmp_path.iterdir()) - set(before)
        assert made.is_dir()
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_it_is_gone_after_an_error_too(tmp_path: Path) -> None:
    def interrupted() -> None:
        with fresh_store(parse_url(f"json:///{tmp_path}/q.json"), "bench") as opening:
            opening().close()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_store_behind_a_socket_gets_a_queue_that_is_purged(tmp_path: Path) -> None:
    service = Service(parse_url(f"json:///{tmp_path}/Queue.json"), None)
    with serving(service), Queue(f"broker:///{service.address.path}") as queue:
        queue.put("mine")
        with (
            fresh_store(parse_url(f"broker:///{service.address.path}"), "bench") as opening,
            closing(opening()) as contender,
        ):
            contender.put(["theirs", "theirs, too"])
            assert contender.left() == 2
            name = contender.queue.name
        with Queue(f"broker:///{service.address.path}", name) as theirs:
            assert theirs.stats().ready == 0
        assert queue.stats().ready == 1


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere is not a directory; create it"):
        subject_of(parse_url(f"json:///{tmp_path}/nowhere/q.json"))
    assert list(tmp_path.iterdir()) == []


def test_what_a_backend_promises_stands_beside_its_name(tmp_path: Path) -> None:
    subject = subject_of(parse_url(f"json:///{tmp_path}/q.json?lock_timeout=9"))
    assert (subject.durability, subject.is_shared) == ("fsync", True)
    assert subject.name.endswith("lock_timeout=9")
    memory = subject_of(parse_url("memory://"))
    assert (memory.durability, memory.is_shared) == ("memory", False)
