"""What others put in the way of a store's files is refused, left as it is, and never waited for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from distqueue.errors import StoreError, StoreMissing

from .support import beside, compact, fsck, opened, put, ready_ids, stored

FILES = ("Queue.json", "Queue.json.lock", "Queue.json.bell")
SECRET = b"not yours"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.write_bytes(SECRET)
    os.utime(path, (1, 1))
    return path


def refused(path: Path) -> str:
    """Open the store, which has to be refused by name, and return what is said."""
    with pytest.raises(StoreError) as refusal, opened(path):
        pass
    assert not isinstance(refusal.value, StoreMissing)
    return str(refusal.value)


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_is_not_followed(tmp_path: Path, target: Path, name: str) -> None:
    (tmp_path / name).symlink_to(target)
    assert name in refused(tmp_path / "Queue.json")
    assert target.read_bytes() == SECRET
    assert target.stat().st_mtime == 1


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_to_nothing_makes_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "nothing")
    assert name in refused(tmp_path / "Queue.json")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_hard_link_is_somebody_elses_file(tmp_path: Path, target: Path, name: str) -> None:
    (tmp_path / name).hardlink_to(target)
    assert name in refused(tmp_path / "Queue.json")
    assert target.read_bytes() == SECRET
    assert target.stat().st_mtime == 1


@pytest.mark.parametrize("name", FILES)
def test_a_fifo_is_refused_without_waiting_for_its_other_end(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert name in refused(tmp_path / "Queue.json")


@pytest.mark.parametrize("name", FILES)
def test_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert name in refused(tmp_path / "Queue.json")


@pytest.mark.parametrize("name", FILES[1:])
def test_a_file_with_content_is_no_lock_and_no_bell(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SECRET)
    assert "out of the way" in refused(tmp_path / "Queue.json")
    assert (tmp_path / name).read_bytes() == SECRET


def test_a_store_under_a_second_name_is_refused_as_its_lock_would_not_guard_it(tmp_path: Path) -> None:
    with opened(tmp_path / "Queue.json") as backend:
        stored(backend, put("a"))
    (tmp_path / "Again.json").hardlink_to(tmp_path / "Queue.json")
    assert "second name" in refused(tmp_path / "Again.json")
    with pytest.raises(StoreError, match="second name"):
        fsck(tmp_path / "Queue.json", repair=True)
    (tmp_path / "Again.json").unlink()
    with opened(tmp_path / "Queue.json") as backend:
        assert ready_ids(backend) == ["a"]


def test_a_link_put_in_the_place_of_an_open_store_is_refused(tmp_path: Path, target: Path) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"))
        path.rename(tmp_path / "moved.json")
        path.symlink_to(target)
        for _ in range(2):
            with pytest.raises(StoreError, match="symbolic link"):
                backend.apply([put("b")])
        path.unlink()
        (tmp_path / "moved.json").rename(path)
        stored(backend, put("b"))
        assert ready_ids(backend) == ["a", "b"]
    assert target.read_bytes() == SECRET


@pytest.fixture
def no_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.mark.usefixtures("no_umask")
def test_every_file_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "Queue.json"
    with opened(path) as backend:
        stored(backend, put("a"))
        compact(backend)
        stored(backend, put("b"))
    data = path.read_bytes().rstrip(b" ")
    with path.open("r+b") as file:
        file.truncate(len(data) - 9)
    with opened(path) as backend:
        stored(backend, put("c"), put("d"))
        stored(backend, put("e"))
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b'"id":"c"')] = 0
    with path.open("r+b") as file:
        file.write(damaged)
    fsck(path, repair=True)
    assert beside(path, "torn")
    assert beside(path, "damaged")
    modes = {each.name: oct(each.stat().st_mode & 0o777) for each in tmp_path.iterdir()}
    assert set(modes.values()) == {"0o600"}, modes


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreMissing, match=r"there is no directory .*nowhere"),
        opened(tmp_path / "nowhere/Queue.json"),
    ):
        pass


def test_a_store_is_made_only_where_that_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="no store at"), opened(tmp_path / "Queue.json", create=False):
        pass
    assert list(tmp_path.iterdir()) == []
