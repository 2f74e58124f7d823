"""The page on moving to PostgreSQL, by the letter: there and back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distqueue import Queue
from tests.docs.pages import ROOT, links, page

PAGE = page("docs/howto/move-to-postgres.md")
OLD = "json:////srv/app/Queue.json"
NEW = "postgresql://queue@db.example.org/app"
ELSEWHERE = ("pip ", "createuser ", "createdb ", "export PGPASSWORD", "psql ")
"""What is not done here."""


def script(section: str, old: str, new: str) -> str:
    """Return the commands below a heading, for other stores."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    commands = [
        line
        for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE)
        if not line.startswith(ELSEWHERE) and "schema=bench" not in line
    ]
    return "\n".join(commands).replace(OLD, f"'{old}'").replace(NEW, f"'{new}'")


def run(*scripts: str) -> str:
    """Run them as one, up to the first command that fails."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DISTQUEUE_")}
    env["PATH"] = f"{os.path.dirname(sys.executable)}:{env['PATH']}"
    command = ["bash", "-euc", "\n".join(scripts)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_way_there_and_back(tmp_path: Path, postgres_schema: str) -> None:
    old = f"json:///{tmp_path}/Queue.json"
    with Queue(old, name="emails") as queue:
        queue.put_many([1, 2, 3])
    there = [script(section, old, postgres_schema) for section in ("Before", "Do it")]
    said = run(*there)
    assert "queue emails: 3 tasks and 0 remembered ids moved, the same at both ends" in said
    with Queue(postgres_schema, name="emails") as queue:
        delivery = queue.get(timeout=0)
        assert delivery is not None
        assert delivery.data == 1
        delivery.ack()
        queue.put(4)
    run(there[1].splitlines()[0], script("Roll back", old, postgres_schema))
    with Queue(old, name="emails") as queue:
        assert [delivery.data for delivery in queue.get_many(10, timeout=0)] == [2, 3, 4]


def test_its_links_are_there() -> None:
    for link in links(PAGE):
        assert (ROOT / "docs/howto" / link).is_file(), link
