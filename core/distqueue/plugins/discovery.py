"""Which plugins are installed: entry points, read without importing anything."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Final

import msgspec

from distqueue.plugins.report import PluginProblem, ProblemKind

BACKENDS: Final = "distqueue.backends"
"""The entry-point group of backends; the name of an entry point is a URL scheme."""
OBSERVERS: Final = "distqueue.observers"
"""The entry-point group of observers; the name is what a configuration names."""
BUILT_IN: Final = "distqueue"
"""The distribution whose backends nobody can shadow."""

log = logging.getLogger("distqueue.plugins")


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


def find_installed(group: str) -> tuple[list[Installed], list[PluginProblem]]:
    """Return the entry points of a group, and what is wrong with those that cannot be read.

    Unlike ``importlib.metadata.entry_points`` this survives a distribution with a malformed file.
    Of a distribution that is found twice (a stale copy, a linked directory) the first on the path
    counts, as it does for imports.
    """
    found: dict[tuple[str, str, str], Installed] = {}
    version_of: dict[str, str] = {}
    problems: list[PluginProblem] = []
    for distribution in distributions():
        try:
            for one in _entries(distribution, group):
                path_of = version_of.setdefault(one.distribution, one.version)
                found.setdefault((one.distribution, one.name, one.entry_point.value), one)
        except Exception as error:  # noqa: BLE001
            pass
    return list(found.values()), problems
