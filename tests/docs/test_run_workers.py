"""The app of several modules that the page on workers shows has the handlers that it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, files, links, page

PAGE = page("docs/howto/run-workers.md")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the files of the page, where a mail waits to be sent."""
    for name, text in files(PAGE).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    run("-c", "from shop.mails import send_email; send_email.enqueue('Ada')", directory=tmp_path)
    return tmp_path


def run(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run Python there; warnings are errors."""
    command = [sys.executable, "-W", "error", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DISTQUEUE_")}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=True
    )


def test_the_module_that_imports_the_others_has_their_handlers(project: Path) -> None:
    assert "Welcome, Ada" in run("-m", "distqueue", "work", "shop.tasks", "--burst", directory=project).stdout


def test_the_module_of_the_app_alone_says_which_handler_it_lacks(project: Path) -> None:
    done = run("-m", "distqueue", "work", "shop.app", "--burst", directory=project)
    assert "no handler here is named 'send_email'" in done.stderr
    assert "Welcome" not in done.stdout


def test_its_links_are_there() -> None:
    for link in links(PAGE):
        assert (ROOT / "docs/howto" / link).is_file(), link
