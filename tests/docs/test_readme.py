"""The code in the README runs as it is printed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import files

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(code: str, directory: Path) -> str:
    """Run a program in a directory of its own; warnings are errors."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_the_first_screen_enqueues_and_a_worker_runs_it(tmp_path: Path) -> None:
    """The app, and the two commands below it; the worker ends when it has done both."""
    (tmp_path / "tasks.py").write_text(files(README)["tasks.py"])
    steps = README.split("```sh\n")[1].split("```")[0].splitlines()
    enqueue, work = (shlex.split(step, comments=True) for step in steps)
    env = os.environ | {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    subprocess.run(enqueue, cwd=tmp_path, env=env, timeout=30, check=True)
    with subprocess.Popen(work, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        said = {worker.stdout.readline() for _ in range(2)}
        worker.send_signal(signal.SIGINT)
    assert worker.returncode == 0
    assert said == {"Welcome, a@example.org\n", "Hello, b@example.org\n"}


@pytest.mark.parametrize("url", ["json:///Queue.json", "memory://"])
def test_the_second_door_puts_and_gets_on_every_backend_that_is_done(tmp_path: Path, url: str) -> None:
    """The second example, as printed and with the other URL that the README names."""
    printed = run(EXAMPLES[1].replace("json:///Queue.json", url), tmp_path)
    assert printed == "{'to': 'a@example.org'}\n"
    assert (tmp_path / "Queue.json").exists() == url.startswith("json")


def test_a_program_that_hosts_the_broker_process(tmp_path: Path) -> None:
    """The third example, as printed."""
    assert run(EXAMPLES[2], tmp_path) == "Process this data\n"


@pytest.mark.slow
def test_the_first_command_loses_nothing(tmp_path: Path) -> None:
    """Its last step; the set-up before it is what made this environment."""
    command = next(line for line in README.splitlines() if line.endswith("distqueue demo"))
    step = command.split(" && ")[-1].replace(".venv/bin/distqueue", f"{sys.executable} -m distqueue")
    done = subprocess.run(
        ["/bin/sh", "-c", step], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True
    )
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if "  " in line)
    assert (said["acknowledged"], said["handled"], said["lost"]) == ("5,000", "5,000", "0")
    assert "a consumer" in said["killed"]
    assert "the broker process" in said["killed"]


def test_every_page_that_it_links_is_there() -> None:
    root = Path(__file__).parents[2]
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / link).exists(), link
