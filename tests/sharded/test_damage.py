"""A damaged or missing shard stops what belongs into it; the others go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from distqueue import ShardUnavailable, StoreDamaged, StoreMissing
from distqueue.commands import Cancel, Find, Pause, Purge, Redrive, Resume
from distqueue.results import Claimed, Found, PauseSet, Purged, Redriven, Removed, Settled, Stored
from distqueue.transfer.exporting import export_store

from .support import (
    IDS,
    QUEUE,
    ack,
    browsed,
    claim,
    claimed,
    counted,
    damage,
    expect,
    found,
    fsck,
    ids,
    opened,
    put,
    shard,
    stored,
)

BAD = 3
GOOD = IDS[:BAD] + IDS[BAD + 1 :]
type Spoil = Callable[[Path], None]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.fixture
def filled(directory: Path) -> Path:
    """A store with a task in each shard, and a later commit in each."""
    with opened(directory) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])
        stored(backend, *[put(f"{task_id}-gone", group=task_id) for task_id in IDS])
        for task_id in IDS:
            expect(backend.apply([Cancel(queue=QUEUE, task_id=f"{task_id}-gone")])[0], Removed)
    return directory


def remove(path: Path) -> None:
    """Let the file of a shard be gone."""
    path.unlink()


def empty(path: Path) -> None:
    """Let nothing be in the file of a shard."""
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [damage, remove, empty])
def test_the_other_shards_go_on(filled: Path, spoil: Spoil, caplog: pytest.LogCaptureFixture) -> None:
    spoil(shard(filled, BAD))
    caplog.set_level(logging.ERROR)
    with opened(filled) as backend:
        assert str(shard(filled, BAD)) in caplog.text
        assert ids(browsed(backend)) == sorted(GOOD)
        assert found(backend, GOOD[0]) is not None
        leases = claimed(backend, 20)
        assert ids(leases) == sorted(GOOD)
        for lease in leases:
            expect(backend.apply([ack(lease)])[0], Settled)
        assert claimed(backend) == []


@pytest.mark.parametrize("spoil", [damage, remove, empty])
def test_what_belongs_into_a_damaged_shard_is_refused_alone(filled: Path, spoil: Spoil) -> None:
    spoil(shard(filled, BAD))
    before = shard(filled, BAD).read_bytes() if shard(filled, BAD).exists() else None
    with opened(filled) as backend:
        first, refused, last = backend.apply(
            [put("in-0", group=IDS[0]), put("new", group=IDS[BAD]), put("in-1", group=IDS[1])]
        )
        expect(first, Stored)
        expect(last, Stored)
        assert isinstance(refused, ShardUnavailable)
        assert str(shard(filled, BAD)) in str(refused)
        assert "distqueue fsck --repair" in str(refused)
        for command in (Find(queue=QUEUE, task_id=IDS[BAD]), Cancel(queue=QUEUE, task_id=IDS[BAD])):
            assert isinstance(backend.apply([command])[0], ShardUnavailable)
    after = shard(filled, BAD).read_bytes() if shard(filled, BAD).exists() else None
    assert before == after


def test_what_is_nowhere_else_may_be_in_the_damaged_shard(filled: Path) -> None:
    damage(shard(filled, BAD))
    with opened(filled) as backend:
        outcome = backend.apply([Find(queue=QUEUE, task_id="grouped")])[0]
        assert isinstance(outcome, ShardUnavailable)
        assert expect(backend.apply([Find(queue=QUEUE, task_id=IDS[0])])[0], Found).task is not None


def test_the_statistics_name_it(filled: Path) -> None:
    with opened(filled) as backend:
        assert "damaged" not in counted(backend).store
    damage(shard(filled, BAD))
    remove(shard(filled, 5))
    with opened(filled) as backend:
        facts = counted(backend)
        assert facts.store["damaged"] == "shard-03.json, shard-05.json"
        assert [(each.queue, each.ready) for each in facts.queues] == [(QUEUE, 6)]


def test_what_is_about_all_tasks_is_about_those_of_the_others(filled: Path) -> None:
    damage(shard(filled, BAD))
    with opened(filled) as backend:
        assert expect(backend.apply([Pause(queue=QUEUE)])[0], PauseSet).paused
        assert claimed(backend, 9) == []
        expect(backend.apply([Resume(queue=QUEUE)])[0], PauseSet)
        assert expect(backend.apply([Redrive(queue=QUEUE)])[0], Redriven).count == 0
        assert expect(backend.apply([Purge(queue=QUEUE)])[0], Purged).count == 7


def test_damage_that_is_met_later_stops_that_shard_only(filled: Path) -> None:
    with opened(filled) as backend:
        remove(shard(filled, BAD))
        outcomes = backend.apply([put(f"later-{task_id}", group=task_id) for task_id in IDS])
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [Stored] * BAD + [ShardUnavailable] + [Stored] * (7 - BAD)
        assert counted(backend).store["damaged"] == f"shard-0{BAD}.json"
        assert len(claimed(backend, 100)) == 14
    assert not shard(filled, BAD).exists()


def test_a_claim_passes_over_damage_that_it_meets(filled: Path) -> None:
    with opened(filled) as backend:
        remove(shard(filled, BAD))
        assert ids(claimed(backend, 100)) == sorted(GOOD)
        repeated = expect(backend.apply([claim(again=True)])[0], Claimed)
        assert ids(repeated.leases) == sorted(GOOD)


def test_a_store_of_which_nothing_can_be_used_is_not_opened(filled: Path) -> None:
    for number in range(8):
        damage(shard(filled, number))
    with pytest.raises(StoreDamaged, match="every shard"), opened(filled):
        pass


def test_an_examination_says_what_is_wrong_with_which(filled: Path) -> None:
    assert fsck(filled).findings == []
    assert fsck(filled).is_sound
    damage(shard(filled, BAD))
    remove(shard(filled, 5))
    report = fsck(filled)
    assert not report.is_sound
    assert any(finding.startswith("shard-03.json: byte ") for finding in report.findings)
    assert any(finding.startswith("shard-05.json is missing") for finding in report.findings)
    assert not shard(filled, 5).exists()


def test_a_repair_goes_on_with_what_is_good(filled: Path) -> None:
    damage(shard(filled, BAD))
    remove(shard(filled, 5))
    report = fsck(filled, repair=True)
    assert report.is_sound
    assert report.kept_aside is not None
    assert IDS[BAD].encode() in Path(report.kept_aside).read_bytes()
    assert fsck(filled).findings == []
    with opened(filled) as backend:
        assert ids(browsed(backend)) == sorted(set(GOOD) - {IDS[5]})
        stored(backend, put(IDS[BAD], "new"), put(IDS[5], "new"))


def test_a_shard_too_many_is_found(filled: Path) -> None:
    shard(filled, 8).write_bytes(shard(filled, 1).read_bytes())
    report = fsck(filled)
    assert not report.is_sound
    assert "shard-08.json" in report.findings[0]


def test_there_has_to_be_something_to_examine(directory: Path) -> None:
    with pytest.raises(StoreMissing):
        fsck(directory)
    directory.mkdir()
    with pytest.raises(StoreMissing):
        fsck(directory)
    assert list(directory.iterdir()) == []


def test_an_export_without_a_shard_would_not_be_whole(directory: Path, tmp_path: Path) -> None:
    with opened(directory) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])
    shard(directory, 3).unlink()
    with opened(directory) as backend, pytest.raises(StoreDamaged, match="fsck"):
        asyncio.run(export_store(backend, None, str(tmp_path / "export.jsonl")))
    assert not (tmp_path / "export.jsonl").exists()
