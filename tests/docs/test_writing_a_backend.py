"""The backends of the page for authors keep the contract, and its tables are those of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from distqueue import backend, capabilities, commands, errors, plugins, results, task, urls
from distqueue.backend import Backend
from distqueue.capabilities import Capabilities
from distqueue.commands import Command, Load, Settle
from distqueue.conformance import BackendConformance
from distqueue.conformance.harness import ABILITIES
from distqueue.conformance.report import Report, State, read_reports
from distqueue.lifecycle import TRANSITIONS
from distqueue.options import RESERVED
from distqueue.plugins import BackendSpec

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "writing-a-backend.md").read_text()
FILES: dict[str, str] = dict(re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))

FORKED = """
import os, sys
from distqueue import Queue

queue = Queue(sys.argv[1])
queue.put("of the parent", task_id="a")
if (pid := os.fork()) == 0:
    code = 1
    try:
        with queue.get(timeout=10) as delivery:
            assert delivery.task_id == "a"
        queue.put("of the child", task_id="b")
        code = 0
    finally:
        os._exit(code)
assert os.waitpid(pid, 0)[1] == 0
with queue.get(timeout=10) as delivery:
    print(delivery.data)
"""


class Site:
    """A directory in which the distribution of the page is installed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, source in FILES.items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(source)
        (directory / "distqueue_shelf" / "__init__.py").touch()
        self._install(tomllib.loads(FILES["pyproject.toml"])["project"])

    def _install(self, project: dict[str, dict[str, dict[str, str]]]) -> None:
        """Do what pip does with a project, as far as it is found by that."""
        info = self.directory / f"distqueue_shelf-{project['version']}.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(about)
        sections = [
            "\n".join([f"[{group}]", *[f"{name} = {module}" for name, module in entries.items()]])
            for group, entries in project["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(sections) + "\n")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python where the distribution is installed."""
        inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        path = os.pathsep.join([str(self.directory), *map(os.path.abspath, inherited)])
        return subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )

    def hold_the_suite_against(self, test_class: str) -> Report:
        """Run the whole quick suite on a backend of the page, as the page says, and return its report."""
        report = self.directory / "report.json"
        done = self.run(
            *("-W", "error", "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(self.directory)),
            *("--basetemp", str(self.directory / "stores"), "-p", "no:cacheprovider", "-p", "no:asyncio"),
            *("-p", "distqueue.conformance.plugin", "--distqueue-report", str(report), "--distqueue-quick"),
            f"tests/test_shelf.py::{test_class}",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return read_reports([report])[0]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("test_class", ["TestShelf", "TestPushingShelf", "TestFileShelf"])
@pytest.mark.slow
def test_a_backend_of_the_page_keeps_the_contract(site: Site, test_class: str) -> None:
    report = site.hold_the_suite_against(test_class)
    (subject,) = report.subjects
    assert (subject.name, subject.backend) == (test_class, "distqueue-shelf 0.1.0")
    assert subject.keeps_the_contract
    assert len(subject.clauses) > 250
    assert subject.count(State.PASS) > 90
    assert subject.findings == []


def test_the_backends_of_the_page_are_listed_as_it_shows(site: Site) -> None:
    listed = site.run("-m", "distqueue", "backends")
    rows = {line.split()[0]: line.split("\t") for line in listed.stdout.splitlines()}
    for scheme in ("shelf", "shelf-push", "shelf-file"):
        assert rows[scheme][1:4] == ["ok", "distqueue-shelf", "0.1.0"]
    for line in PAGE.split("$ distqueue backends\n")[1].split("```")[0].splitlines():
        if line != "…":
            assert line.split() == " ".join(rows[line.split()[0]]).split()


def test_the_store_in_a_file_survives_a_fork(site: Site) -> None:
    done = site.run("-W", "ignore::DeprecationWarning", "-c", FORKED, "shelf-file:///tasks.shelf")
    assert (done.stdout, done.stderr) == ("of the child\n", "")


def test_the_page_needs_nothing_that_is_private() -> None:
    for name, source in FILES.items():
        assert not re.search(r"(from|import) distqueue_backends", source), name
        assert not re.search(r"(self|super\(\))\._(?!_)", source), name
        for module, names in re.findall(r"from (distqueue\.[\w.]*) import (\([^)]*\)|.*)", source):
            assert not re.search(r"\b_\w", f"{module} {names}"), name


def kinds_of(kind: type[Command]) -> list[str]:
    """Return those of the contract; a backend may have commands of its own, which it imports."""
    ours = (each for each in kind.__subclasses__() if each.__module__ == Command.__module__)
    return [name for each in ours for name in (each.__name__, *kinds_of(each))]


def test_the_page_names_every_command_and_its_method() -> None:
    table = PAGE.split("## 3 The commands")[1].split("\n### ")[0]
    bases = {Settle.__name__, Load.__name__}
    assert [name for name in kinds_of(Command) if name not in bases and f"`{name}`" not in table] == []
    required = Backend.__abstractmethods__ - {"capabilities"}
    text = PAGE.split("## 2")[0]
    assert [name for name in required if f"`{name}`" not in text] == []


def test_the_page_shows_every_transition() -> None:
    table = PAGE.split("### States")[1].split("\n### ")[0]
    rows = {tuple(row) for row in re.findall(r"^\| (\w+) \| (\w+) \| ([\w, ]+) \|$", table, re.MULTILINE)[1:]}
    shown = {(state, event, frozenset(after.split(", "))) for state, event, after in rows}
    assert shown == {
        (state or "gone", event.value, frozenset(each or "gone" for each in after))
        for (state, event), after in TRANSITIONS.items()
    }


def test_the_page_explains_every_capability_field_and_ability() -> None:
    names = [*Capabilities.__struct_fields__, *BackendSpec.__struct_fields__, *ABILITIES, *RESERVED]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    spec_table = PAGE.split("In a `BackendSpec`:")[1].split("\n\n")[1]
    rows = re.findall(r"^\| `(\w+)` \|", spec_table, re.MULTILINE)
    assert rows == [field.name for field in msgspec.structs.fields(BackendSpec)]


def test_every_name_on_the_page_is_there() -> None:
    modules = (backend, capabilities, commands, errors, plugins, results, task, urls)
    names = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)\b", PAGE))
    assert len(names) > 20
    assert [name for name in names if not any(hasattr(module, name) for module in modules)] == []


def test_every_word_of_the_order_selects_tests() -> None:
    tests = [name for name in dir(BackendConformance) if name.startswith("test_")]
    table = PAGE.split("**An order that works.**")[1].split("\n\n")[1]
    expressions = re.findall(r"^\| \d+ \| `([^`]+)` \|", table, re.MULTILINE)
    assert len(expressions) == 8
    words = [word for expression in expressions for word in expression.split(" or ")]
    assert [word for word in words if not any(word in test for test in tests)] == []


def test_every_page_that_it_links_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (DOCS / link).exists(), link
