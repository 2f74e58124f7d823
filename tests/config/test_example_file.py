"""The annotated example of a configuration file shows every key, and changes nothing but the store."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from distqueue.config import find_settings
from distqueue.config_file import Keys, QueueSection, RetryTable, read_file

EXAMPLE = Path(__file__).parents[2] / "docs" / "howto" / "distqueue.toml"


def names(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def leaves(table: Mapping[str, object]) -> Iterator[str]:
    for key, value in table.items():
        yield from (f"{key}.{leaf}" for leaf in leaves(value)) if isinstance(value, dict) else [key]


def test_the_example_shows_every_key() -> None:
    table = tomllib.loads(EXAMPLE.read_text())
    assert set(table) == names(Keys)
    every = (names(QueueSection) - {"retry"}) | {f"retry.{name}" for name in names(RetryTable)}
    assert set(leaves(table["defaults"])) == every
    for section in table["queues"].values():
        assert set(leaves(section)) == every


def test_the_example_can_be_read() -> None:
    assert read_file(str(EXAMPLE)).keys.url == "json:///Queue.json"


def test_the_defaults_of_the_example_are_the_built_in_ones(project: Path) -> None:
    without = find_settings("memory://")
    shutil.copy(EXAMPLE, project / "distqueue.toml")
    assert find_settings("memory://") == without
    assert find_settings().url.path == f"{project}/Queue.json"
    assert find_settings(queue="emails").max_attempts is None
