"""Where a task is: by its group, else by its id, the same for all time."""

from __future__ import annotations

from pathlib import Path

import pytest

from distqueue.results import Stored
from distqueue_backends.sharded.routing import shard_of

from .support import IDS, browsed, claimed, ids, opened, put, shard, stored


@pytest.mark.parametrize(
    ("key", "of_2", "of_8", "of_64"),
    [
        ("customer-17", 1, 7, 31),
        ("customer-18", 0, 6, 14),
        ("0190a5f2-7c3b-7d4e-8f60-1a2b3c4d5e6f", 1, 1, 1),
        ("a", 1, 3, 3),
        ("b", 1, 1, 57),
        ("ä", 1, 3, 3),
    ],
)
def test_a_key_goes_where_it_always_went(key: str, of_2: int, of_8: int, of_64: int) -> None:
    assert [shard_of(key, count) for count in (1, 2, 8, 64)] == [0, of_2, of_8, of_64]


def test_a_task_is_in_the_file_of_its_id(directory: Path) -> None:
    with opened(directory) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])
    for number, task_id in enumerate(IDS):
        assert f'"{task_id}"' in shard(directory, number).read_text()


def test_a_group_is_in_the_file_of_its_name(directory: Path) -> None:
    with opened(directory) as backend:
        stored(backend, *[put(task_id, group="customer-17") for task_id in IDS])
        assert ids(browsed(backend)) == sorted(IDS)
    content = shard(directory, 7).read_text()
    assert all(f'"{task_id}"' in content for task_id in IDS)


def test_numbers_are_spread_over_all_shards() -> None:
    shards = [shard_of(f"task-{number}", 8) for number in range(8000)]
    assert all(800 < shards.count(number) < 1200 for number in range(8))


def test_an_id_is_stored_once_whatever_its_group_is(directory: Path) -> None:
    with opened(directory) as backend, opened(directory) as other:
        again = [put("same", group=group) for group in [*IDS, None]]
        first, *others = backend.apply(again)
        assert first == Stored(task_id="same")
        assert all(isinstance(each, Stored) and each.duplicate for each in others)
        assert [lease.task_id for lease in claimed(other)] == ["same"]
        assert all(isinstance(each, Stored) and each.duplicate for each in other.apply(again))
        assert [task.task_id for task in browsed(backend)] == ["same"]
