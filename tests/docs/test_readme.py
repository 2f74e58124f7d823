"""The code in the README runs as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(code: str, directory: Path) -> str:
    """Run a program in a directory of its own; warnings are errors."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


@pytest.mark.parametrize("url", ["json:///Queue.json", "memory://"])
def test_the_ten_lines_put_and_get_on_every_backend_that_is_done(tmp_path: Path, url: str) -> None:
    """The first example, as printed and with the other URL that the README names."""
    printed = run(EXAMPLES[0].replace("json:///Queue.json", url), tmp_path)
    assert printed == "{'to': 'a@example.org'}\n"
    assert (tmp_path / "Queue.json").exists() == url.startswith("json")


def test_the_first_command_puts_and_gets_through_the_shell(tmp_path: Path) -> None:
    """Its last two steps; the set-up before them is what made this environment."""
    command = next(line for line in README.splitlines() if "distqueue put" in line)
    steps = [step for step in command.split(" && ") if "/distqueue " in step]
    shell = " && ".join(
        step.replace(".venv/bin/distqueue", f"{sys.executable} -m distqueue") for step in steps
    )
    done = subprocess.run(
        ["/bin/sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
    )
    assert len(steps) == 2
    assert done.stdout.splitlines()[-1] == '{"to": "a@example.org"}'
