"""The page on scaling: its program spreads queues, and a server knows its settings and its questions."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.docs.pages import ROOT, files, links, page

PAGE = page("docs/scaling.md")
NAMES = [f"queue-{number}" for number in range(200)]


@pytest.fixture
def program(tmp_path: Path) -> dict[str, Any]:
    """What is in the program of the page, its databases being files."""
    path = tmp_path / "queues.py"
    path.write_text(
        re.sub(r"postgresql://queue@(\w+)/app", rf"sqlite:///{tmp_path}/\1.db", files(PAGE)[path.name])
    )
    return runpy.run_path(str(path))


def test_queues_are_spread_and_only_those_of_a_new_database_move(program: dict[str, Any]) -> None:
    databases, database_of = program["DATABASES"], program["database_of"]
    before = {name: database_of(name) for name in NAMES}
    assert set(before.values()) == set(databases)
    databases.append("a third one")
    after = {name: database_of(name) for name in NAMES}
    moved = {name for name in NAMES if before[name] != after[name]}
    assert {after[name] for name in moved} == {"a third one"}


def test_a_queue_is_in_its_database(program: dict[str, Any]) -> None:
    with program["queue"]("emails") as queue:
        queue.put(1)
    with program["queue"]("emails") as queue, queue.get(timeout=0) as delivery:
        assert delivery.data == 1


def test_a_server_knows_what_is_asked_and_set(postgres_url: str) -> None:
    questions = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    settings = re.findall(
        r"^(\w+) = ", "".join(re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE
    )
    assert (len(questions), len(settings)) == (2, 6)
    with psycopg.connect(postgres_url) as connection:
        for question in questions:
            connection.execute(question.encode())
        for setting in settings:
            connection.execute("SELECT current_setting(%s)", (setting,))


def test_its_links_are_there() -> None:
    for link in links(PAGE):
        assert (ROOT / "docs" / link).is_file(), link
