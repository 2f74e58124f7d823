"""Which plugins are installed: entry points, read without importing anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Final

import msgspec

from distqueue.plugins.report import PluginProblem, ProblemKind

BACKENDS: Final = "distqueue.backends"
"""The entry-point group of backends; the name of an entry point is a URL scheme."""
OBSERVERS: Final = "distqueue.observers"
"""The entry-point group of observers; the name is what a configuration names."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """One entry point, and the distribution that it is in."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    @property
    def key(self) -> str:
        """The name under which the plugin is registered."""
        return f"{self.distribution}:{self.name}"

    @property
    def label(self) -> str:
        """The distribution and its version, for messages."""
        return f"{self.distribution} {self.version}"

    @property
    def pip_line(self) -> str:
        """What installs the libraries that the plugin needs, if its distribution has an extra of its name."""
        owner = self.entry_point.dist
        extras = owner.metadata.get_all("Provides-Extra") if owner is not None else None
        return f"pip install '{self.distribution}[{self.name}]'" if self.name in (extras or ()) else ""


def find_installed(group: str) -> tuple[list[Installed], list[PluginProblem]]:
    """Return the entry points of a group, and the distributions whose entry points cannot be read.

    Unlike ``importlib.metadata.entry_points``, which a single malformed file stops for everybody.
    Of a distribution that is found twice (a stale copy, a linked directory) the first on the path
    counts, as it does for imports.
    """
    found: dict[str, list[Installed]] = {}
    problems: list[PluginProblem] = []
    for distribution in distributions():
        try:
            entries = list(_read(distribution, group))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's metadata does to the parser
            problems += _unreadable(distribution, group, error)
            continue
        if entries:
            found.setdefault(entries[0].distribution, entries)
    return [one for entries in found.values() for one in entries], problems


def canonical(name: str) -> str:
    """Return the name of a distribution in its one normal form (``Acme_Queue`` is ``acme-queue``)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _read(distribution: Distribution, group: str) -> Iterator[Installed]:
    entries = {(entry.name, entry.value): entry for entry in distribution.entry_points.select(group=group)}
    if not entries:
        return
    metadata = distribution.metadata
    name, version = canonical(metadata.get("Name") or "unnamed"), metadata.get("Version") or "unknown"
    for entry in entries.values():
        yield Installed(name=entry.name, distribution=name, version=version, entry_point=entry)


def _unreadable(distribution: Distribution, group: str, error: Exception) -> Iterator[PluginProblem]:
    text = name = version = ""
    with suppress(Exception):
        text = distribution.read_text("entry_points.txt") or ""
        name, version = canonical(distribution.name), distribution.version
    if f"[{group}]" in text:  # other people's entry points are not our business
        yield PluginProblem(
            kind=ProblemKind.IMPORT,
            name="?",
            distribution=name,
            version=version,
            reason=f"its entry_points.txt cannot be read ({type(error).__name__}: {error})",
            cause=error,
        )
