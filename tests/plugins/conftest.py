"""A directory of small distributions, made on the fly, that stands in for site-packages."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import distqueue_backends.plugin  # noqa: F401 - imported before site-packages is taken off the path
from distqueue.plugins import Plugins

PLUGIN = """
import msgspec
from distqueue.plugins import BackendSpec, hookimpl
from distqueue_backends.memory import MEMORY_CAPABILITIES

class Options(msgspec.Struct, frozen=True):
    timeout: float = 5.0
    mode: str = "calm"

@hookimpl
def distqueue_backends():
    yield BackendSpec(**{FIELDS})
"""

FIELDS = {
    "schemes": '("acme",)',
    "load": '"acme_client:AcmeBackend"',
    "contract": '"1"',
    "capabilities": "MEMORY_CAPABILITIES",
    "options": "Options",
    "summary": '"Tasks at Acme"',
}


class Site:
    """Where distributions are installed for one test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(
        self, name: str, version: str = "1.0", *, group: str = "distqueue.backends", **entries: str
    ) -> None:
        """Install a distribution with entry points (an underscore in a name stands for a hyphen)."""
        lines = [f"{key.replace('_', '-')} = {value}" for key, value in entries.items()]
        self.add_raw(name, version, "\n".join([f"[{group}]", *lines]))

    def add_raw(self, name: str, version: str, entry_points: str) -> None:
        """Install a distribution with this text as its entry points."""
        info = self.directory / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points + "\n")

    def write(self, module: str, source: str) -> None:
        """Put a module on the path."""
        (self.directory / f"{module}.py").write_text(source)

    def write_plugin(self, module: str, **fields: str) -> None:
        """Put a module on the path that describes one backend; ``fields`` are Python expressions."""
        pairs = ", ".join(f"{key!r}: {value}" for key, value in {**FIELDS, **fields}.items())
        self.write(module, PLUGIN.replace("{FIELDS}", f"{{{pairs}}}"))

    def plugins(self) -> Plugins:
        """Return the plugins that a new process would see."""
        return Plugins()

    def imported(self) -> set[str]:
        """Return the modules of this site that have been imported."""
        names = {path.stem for path in self.directory.glob("*.py")}
        return names & set(sys.modules)

    def run(self, code: str, env: Mapping[str, str] | None = None) -> str:
        """Run code in a new process that has this site on its path; return what it prints."""
        path = os.pathsep.join(filter(None, [str(self.directory), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, **(env or {}), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty site; nothing but it and the standard library is searched for distributions."""
    directory = tmp_path / "site"
    directory.mkdir()
    library = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    dynamic = [path for path in sys.path if path.endswith("lib-dynload")]
    monkeypatch.setattr(sys, "path", [str(directory), *library, *dynamic])
    for name in ("DISTQUEUE_DISABLE_PLUGINS", "DISTQUEUE_OBSERVERS", "DISTQUEUE_URL"):
        monkeypatch.delenv(name, raising=False)
    made = Site(directory)
    yield made
    for module in made.imported():
        del sys.modules[module]
