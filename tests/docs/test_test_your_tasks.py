"""What the page on testing shows works as printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import files, page

PAGE = page("docs/howto/test-your-tasks.md")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the files of the page."""
    for name, text in files(PAGE).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run_pytest(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a directory as its owner would, without the plugins that happen to be here."""
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "-vv"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_tests_of_the_page_pass_and_leave_no_store(project: Path) -> None:
    done = run_pytest(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
    assert not list(project.glob("jobs.db*"))


def test_the_message_of_the_page_is_what_is_said(project: Path) -> None:
    (project / "test_message.py").write_text(
        "from shop import send_email, sign_up\n\n"
        "def test_message(jobs):\n"
        "    sign_up('a@example.org')\n"
        "    jobs.assert_enqueued(send_email, 'b@example.org')\n"
    )
    done = run_pytest(project)
    printed = PAGE.split("AssertionError: ")[1].split("```")[0]
    said = "\n".join(line.removeprefix("E ").strip() for line in done.stdout.splitlines())
    for line in printed.splitlines():
        assert line.strip() in said, done.stdout
