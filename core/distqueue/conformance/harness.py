"""What a test can do to a store from outside, beyond opening its URL."""

from __future__ import annotations

import importlib
import uuid
from pathlib import Path
from typing import Any, ClassVar, Final

from distqueue.errors import DistqueueError
from distqueue.plugins import installed_plugins

ABILITIES: Final = {
    "advance": "move the clock that the store reads forward",
    "step_clock": "set the time of day that the store reads, back or forth",
    "cut_connections": "break every connection to the engine",
    "restart_engine": "kill the engine and start it again",
    "connect": "open a connection such as an application has to the store's database",
    "holds_tasks": "tell by their paths the files that have to be on the disk before an answer",
}
"""What a harness may be able to do; each is the name of a method."""


class Harness:
    """Stands between the suite and what the store runs on; one is made for each test.

    Override what can be done to yours, and name the class as ``harness`` in the plugin's
    :class:`~distqueue.plugins.BackendSpec` or in the test class. Every ability that is not overridden makes
    the clauses that ask for it NOT RUN, for the reason in ``reasons`` if one is given there: they are
    listed as such, and never as passed.

    >>> class AcmeHarness(Harness):
    ...     reasons = {"step_clock": "Acme reads the clock of a server that others use too"}
    ...
    ...     def restart_engine(self) -> None:
    ...         subprocess.run(["acme", "restart"], check=True)
    """

    reasons: ClassVar[dict[str, str]] = {}
    """Why an ability is not there, by its name: for the report."""
    prepare: ClassVar[str] = ""
    """``"module:function"`` that each child process calls before anything else, if it needs that."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        """The URL of the test class, with ``{tmp}`` and ``{name}`` in it."""
        self.directory = directory
        """Where the files of this test go."""

    def fresh_url(self) -> str:
        """Return the URL of a store that does not exist yet."""
        name = f"c{uuid.uuid4().hex[:12]}"
        directory = self.directory / name
        directory.mkdir()
        return self.url.replace("{tmp}", str(directory)).replace("{name}", name)

    def absent_url(self) -> str:
        """Return the URL of a store that does not exist, and that nobody has prepared.

        Another one than :meth:`fresh_url` where a store has to be prepared before it can be opened.
        """
        return self.fresh_url()

    def engine(self) -> str:
        """Return name and version of what stores the tasks, for the report."""
        return ""

    def close(self) -> None:
        """Undo what was done, and remove what the stores of this test left behind."""

    def missing(self, ability: str) -> str | None:
        """Return why an ability is not there, ``None`` if it is."""
        if getattr(type(self), ability) is not getattr(Harness, ability):
            return None
        return self.reasons.get(ability) or f"the harness cannot {ABILITIES[ability]}"

    # --- Abilities ----------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Move every clock that the stores of this process read forward."""
        raise NotImplementedError

    def step_clock(self, seconds: float) -> None:
        """Set the time of day that the stores of this process read; durations go on as before."""
        raise NotImplementedError

    def cut_connections(self) -> None:
        """Break every connection to the engine, as a network does."""
        raise NotImplementedError

    def restart_engine(self) -> None:
        """Kill the engine without warning, and return once it serves again."""
        raise NotImplementedError

    def connect(self, url: str) -> Any:
        """Open a connection such as an application has to the database of a store (DB-API 2.0)."""
        raise NotImplementedError

    def holds_tasks(self, path: str) -> bool:
        """Whether what is written to a file has to be synced before it is answered for."""
        raise NotImplementedError


def harness_for(url: str) -> type[Harness]:
    """Return the harness that the plugin for a URL names, or one without abilities."""
    try:
        named = installed_plugins().resolve(url.partition(":")[0]).spec.harness
    except DistqueueError:  # which opening the store will say better
        return Harness
    if not named:
        return Harness
    module, _, name = named.partition(":")
    found: type[Harness] = getattr(importlib.import_module(module), name)
    return found
