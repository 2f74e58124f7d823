"""A store that is given its clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from distqueue import Queue, Unsupported
from distqueue.groupcommit import GroupCommit
from distqueue.opening import open_on_clock
from distqueue.testing.clock import StillClock
from distqueue.urls import parse_url


def test_memory_reads_the_clock_that_it_is_given() -> None:
    clock = StillClock()
    with Queue.over(GroupCommit(open_on_clock(parse_url("memory://"), clock))) as queue:
        queue.put("due later", delay=3600)
        assert queue.get(timeout=0) is None
        clock.advance(3600)
        delivery = queue.get(timeout=0, lease=60)
        assert delivery is not None
        clock.advance(60)
        again = queue.get(timeout=0)
        assert again is not None
        assert (delivery.data, again.data, again.attempt) == ("due later", "due later", 2)


@pytest.mark.parametrize(
    "url", ["json:///{}/Queue.json", "sharded-json:///{}/queue.d", "sqlite:///{}/jobs.db"]
)
def test_a_store_on_the_clock_of_the_machine_says_so_and_is_not_made(url: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"reads the clock of the machine; use memory:"):
        open_on_clock(parse_url(url.format(tmp_path)), StillClock())
    assert list(tmp_path.iterdir()) == []
