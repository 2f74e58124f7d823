"""Making and opening a store: what the manifest says is what counts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from distqueue import ConfigError, Queue, StoreDamaged, StoreError, StoreMissing, UnsupportedFormat
from distqueue.urls import parse_url

from .support import IDS, browsed, fsck, ids, opened, put, shard, stored


def manifest(directory: Path) -> Path:
    return directory / "manifest.json"


def rewrite(directory: Path, **members: object) -> None:
    """Change members of the manifest."""
    whole = json.loads(manifest(directory).read_bytes())
    manifest(directory).write_text(json.dumps({**whole, **members}))


def test_a_new_store_has_eight_shards_that_only_their_owner_reads(directory: Path) -> None:
    with opened(directory):
        pass
    content = json.loads(manifest(directory).read_bytes())
    store = content.pop("store")
    assert content == {"format": "distqueue-sharded-json", "version": 1, "shards": 8}
    assert directory.stat().st_mode & 0o777 == 0o700
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    for number in range(8):
        assert store in shard(directory, number).read_text()
    assert not shard(directory, 8).exists()


@pytest.mark.parametrize("count", [1, 3, 64])
def test_a_new_store_has_as_many_shards_as_its_url_says(directory: Path, count: int) -> None:
    with opened(directory, shards=count) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])
    with opened(directory) as backend:  # what is there needs no count
        assert ids(browsed(backend)) == sorted(IDS)
    with opened(directory, shards=count):
        pass
    assert len(list(directory.glob("shard-*.json"))) == count


def test_another_count_is_refused_with_the_command_that_changes_it(directory: Path) -> None:
    with opened(directory):
        pass
    with pytest.raises(ConfigError) as refusal, opened(directory, shards=4):
        pass
    assert "has 8 shards, not 4" in str(refusal.value)
    command = str(refusal.value).split("`")[1].split()
    assert command[:2] == ["distqueue", "move"]
    old, new = [parse_url(url) for url in command[2:]]
    assert (old.file_path(), old.query) == (str(directory), {})
    assert (new.file_path(), new.query) == (f"{directory}.new", {"shards": "4"})


@pytest.mark.parametrize("count", ["0", "65", "-1", "many"])
def test_a_count_that_no_store_can_have_is_refused(directory: Path, count: str) -> None:
    with (
        pytest.raises(ConfigError, match="shards"),
        Queue(f"sharded-json:///{directory}?shards={count}") as q,
    ):
        q.stats()
    assert not directory.exists()


@pytest.mark.parametrize(
    ("members", "error", "said"),
    [
        ({"format": "another"}, UnsupportedFormat, "is the path right"),
        ({"version": 2}, UnsupportedFormat, "update distqueue"),
        ({"shards": 0}, StoreDamaged, "damaged"),
        ({"shards": 65}, StoreDamaged, "damaged"),
        ({"shards": "8"}, StoreDamaged, "damaged"),
        ({"store": ""}, StoreDamaged, "damaged"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    directory: Path, members: dict[str, object], error: type[StoreError], said: str
) -> None:
    with opened(directory):
        pass
    rewrite(directory, **members)
    before = manifest(directory).read_bytes()
    with pytest.raises(error, match=said), opened(directory):
        pass
    assert manifest(directory).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\x00" * 100, b"{}"])
def test_garbage_is_refused_and_mended_by_the_files(directory: Path, content: bytes) -> None:
    with opened(directory) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])
    manifest(directory).write_bytes(content)
    with pytest.raises(StoreDamaged, match="fsck --repair"), opened(directory):
        pass
    assert not fsck(directory).is_sound
    report = fsck(directory, repair=True)
    assert report.is_sound
    assert report.kept_aside is not None
    assert Path(report.kept_aside).read_bytes() == content
    with opened(directory) as backend:
        assert ids(browsed(backend)) == sorted(IDS)


def test_a_manifest_that_is_gone_is_not_made_anew_over_tasks(directory: Path) -> None:
    with opened(directory) as backend:
        stored(backend, put("a"))
    manifest(directory).unlink()
    for create in (True, False):
        with (
            pytest.raises(StoreDamaged, match="is missing, but there are shards"),
            opened(directory, create=create),
        ):
            pass
    assert fsck(directory, repair=True).is_sound
    with opened(directory) as backend:
        assert ids(browsed(backend)) == ["a"]


def test_what_a_killed_process_left_of_a_new_store_is_begun_anew(directory: Path) -> None:
    with opened(directory):
        pass
    manifest(directory).unlink()
    with pytest.raises(StoreMissing), opened(directory, create=False):
        pass
    with opened(directory, shards=2) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])


def test_an_empty_directory_becomes_a_store_and_another_does_not(directory: Path) -> None:
    directory.mkdir()
    (directory / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"notes\.txt"), opened(directory):
        pass
    (directory / "notes.txt").unlink()
    with opened(directory) as backend:
        stored(backend, put("a"))


def test_what_is_no_directory_is_refused(directory: Path) -> None:
    directory.write_text("mine")
    with pytest.raises(StoreError, match="is not a directory"), opened(directory):
        pass
    assert directory.read_text() == "mine"


def test_nothing_is_made_where_nothing_is_to_be_made(directory: Path) -> None:
    with pytest.raises(StoreMissing, match="no store at"), opened(directory, create=False):
        pass
    with pytest.raises(StoreMissing, match="create it first"), opened(directory / "deeper"):
        pass
    assert not directory.exists()


def as_a_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def as_a_second_name(path: Path, target: Path) -> None:
    path.hardlink_to(target)


@pytest.mark.parametrize("plant", [as_a_link, as_a_second_name])
@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.lock", "bell", "shard-03.json"])
def test_what_others_plant_is_not_followed(
    directory: Path, tmp_path: Path, name: str, plant: Callable[[Path, Path], None]
) -> None:
    with opened(directory) as backend:
        stored(backend, *[put(task_id) for task_id in IDS])
    target = tmp_path / "target"
    os.rename(directory / name, target)
    before = target.read_bytes()
    plant(directory / name, target)
    if name == "shard-03.json":
        with opened(directory) as backend:
            assert ids(browsed(backend)) == sorted(IDS[:3] + IDS[4:])
    else:
        with pytest.raises(StoreError, match=name), opened(directory):
            pass
    assert target.read_bytes() == before
