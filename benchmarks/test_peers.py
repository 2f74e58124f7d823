"""Each adapter does what the loads rely on, whatever is installed of them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.peers.installed import find_peers
from benchmarks.peers.ours import BACKENDS, Ours
from benchmarks.peers.peer import Setting

KNOWN: list[Ours | Setting] = [*BACKENDS, *(setting for peer in find_peers() for setting in peer.settings)]


@pytest.mark.parametrize(
    "entry", KNOWN, ids=lambda entry: f"{entry.name}-{getattr(entry, 'setting', 'ours')}"
)
def test_what_is_put_is_taken_once(entry: Ours | Setting, tmp_path: Path) -> None:
    tasks = [{"n": n} for n in range(5)]
    subject = entry.subject(str(tmp_path))
    with subject.fresh() as opening, closing(opening()) as contender:
        for task in tasks[:3]:
            contender.put([task])
        contender.put(tasks[3:])
        assert contender.left() == 5
        assert contender.take(1) == tasks[:1]
        assert contender.take(9) == tasks[1:]
        assert contender.left() == 0
        assert contender.take(1, 0.01) == []
    assert list(tmp_path.iterdir()) == []
