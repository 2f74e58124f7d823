"""``docs/reference/cli.md`` has a section for every verb, which names every option and argument."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from distqueue.cli.errors import ExitCode
from distqueue.cli.main import VERBS, build
from distqueue.results import QueueStats
from distqueue.task import TaskRecord

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
NAMES = [name for verbs in VERBS.values() for name in verbs]


def section(title: str) -> str:
    """Return the text below a heading."""
    match = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert match, f"no heading {title!r}"
    return match[1]


def commands() -> dict[str, Any]:
    """Return the verbs as typer has built them."""
    group: Any = typer.main.get_command(build(is_rich=False))
    return dict(group.commands)


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_has_a_section_that_names_its_options(name: str) -> None:
    text = section(f"`{name}`")
    for parameter in commands()[name].params:
        for option in parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]:
            assert f"`{option}" in text or f"{option}`" in text, f"{name}: {option} is not described"


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_has_url_and_queue_where_that_makes_sense(name: str) -> None:
    options = {option for parameter in commands()[name].params for option in parameter.opts}
    assert ("--url" in options) == (name not in ("backends", "conformance", "move"))
    no_queue = ("backends", "bench", "conformance", "demo", "fsck", "migrate", "schedules", "serve")
    assert ("--queue" in options) == (name not in no_queue)


def test_every_exit_code_is_described() -> None:
    text = section("Exit codes")
    for code in ExitCode:
        assert f"| {code} |" in text


def test_the_fields_of_json_are_described() -> None:
    for name in TaskRecord.__struct_fields__:
        assert f"`{name}`" in section("`show`")
    for name in QueueStats.__struct_fields__:
        assert f"`{name}`" in section("`stats`")
