"""The programs in ``examples/`` run, and leave behind what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distqueue import Queue

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: str, directory: Path) -> str:
    """Run the example in a directory of its own, where its temporary files go too; warnings are errors."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / "single_json.py"), *arguments]
    environment = {**os.environ, "TMPDIR": str(directory)}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def broker_process(printed: str) -> int:
    """Return the pid that the example printed."""
    (pid,) = re.findall(r"^broker process (\d+) serves ", printed, re.MULTILINE)
    return int(pid)


def publisher(printed: str) -> str:
    """Return the name of the publisher of the last task that was consumed."""
    names: list[str] = re.findall(r"from (publisher-\w+)$", printed, re.MULTILINE)
    return names[-1]


def waiting(path: Path) -> list[object]:
    """Return the payloads of the tasks that are ready in a store."""
    with Queue(f"json:///{path}", create=False) as queue:
        return [json.loads(bytes(task.data)) for task in queue.peek(10)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the example shall make its store."""
    return tmp_path / "Queue.json"


def test_the_single_json_example_tells_what_happens_step_by_step(path: Path) -> None:
    printed = run(path.name, directory=path.parent)
    told = [re.sub(r"[0-9a-f-]{36}", "ID", line) for line in printed.splitlines()]
    assert told == [
        f"broker process {broker_process(printed)} serves json:///{path}",
        "acknowledged: task ID is on the disk",
        f"consumed: 'Process this data', attempt 1, from {publisher(printed)}",
        "published without waiting; acknowledged: False",
        "acknowledged at the close: task ID is on the disk",
        f"all closed; see what is left: distqueue peek -u json:///{path}",
    ]


def test_nothing_is_left_running_and_the_file_is_json(path: Path) -> None:
    printed = run(str(path), directory=path.parent)
    with pytest.raises(ProcessLookupError):
        os.kill(broker_process(printed), 0)
    assert json.loads(path.read_bytes())["commits"]
    assert not Path(f"{path}.broker").exists()
    assert waiting(path) == ["Nobody waits for this"]


def test_what_nobody_waited_for_is_consumed_by_the_next_run(path: Path) -> None:
    run(str(path), directory=path.parent)
    printed = run(str(path), directory=path.parent)
    assert re.findall(r"^consumed: '(.*?)'", printed, re.MULTILINE) == [
        "Nobody waits for this",
        "Process this data",
    ]


def test_without_a_path_the_store_is_in_a_temporary_directory(tmp_path: Path) -> None:
    printed = run(directory=tmp_path)
    (path,) = tmp_path.glob("*/Queue.json")
    assert f"serves json:///{path}\n" in printed
    assert waiting(path) == ["Nobody waits for this"]
