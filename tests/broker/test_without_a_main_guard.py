"""A manager works wherever Python runs: in a script without a main guard, from a pipe, at the prompt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import asyncio
from distqueue import BrokerManager, Publisher, TaskIn

async def work():
    async with BrokerManager("json:///Queue.json") as manager, Publisher(manager) as publisher:
        print((await publisher.publish(TaskIn(data="hello", task_id="one"))).task_id)

asyncio.run(work())
"""


@pytest.mark.parametrize("way", ["script", "pipe", "prompt"])
def test_it_works(way: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # at the prompt a blank line ends a block
    typed = SCRIPT.replace("\n\nasyncio.run", "\n\n\nasyncio.run") if way == "prompt" else SCRIPT
    arguments = {"script": [str(script)], "pipe": ["-"], "prompt": ["-i", "-q"]}[way]
    done = subprocess.run(
        [sys.executable, *arguments],
        input="" if way == "script" else typed,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "one" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
