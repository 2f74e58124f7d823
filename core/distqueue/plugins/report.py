"""What is known of a plugin: that it works, or what is wrong with it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from distqueue.capabilities import Capabilities
from distqueue.errors import PluginError
from distqueue.plugins.spec import BackendSpec

IN_PROCESS: Final = "this program"
"""What stands for the distribution of a plugin that the program registered itself."""


class ProblemKind(StrEnum):
    """In which way a plugin is unusable."""

    IMPORT = "import"
    """Its module cannot be imported."""
    VALIDATION = "validation"
    """A hook or a spec of it is not what it has to be."""
    CONTRACT = "contract"
    """It was written for another version of the contract."""
    CONFLICT = "conflict"
    """Another distribution has the same name taken."""


class PluginProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin that cannot be used, and why. ``name`` is its entry point: a scheme or an observer.

    ``remedy`` is what helps, if that is known better than from the kind of the problem.
    """

    kind: ProblemKind
    name: str
    distribution: str
    version: str
    reason: str
    remedy: str = ""
    cause: BaseException | None = None

    def error(self) -> PluginError:
        """Return the error to raise, from ``cause``, for those who asked for the plugin."""
        origin = f"{self.distribution} {self.version}".rstrip()
        remedy = "" if self.distribution == IN_PROCESS else f"; {self.remedy or self._remedy()}"
        return PluginError(f"the plugin {self.name!r} of {origin} cannot be used: {self.reason}{remedy}")

    def _remedy(self) -> str:
        match self.kind:
            case ProblemKind.IMPORT | ProblemKind.VALIDATION:
                return f"repair or upgrade {self.distribution}, or uninstall it"
            case ProblemKind.CONTRACT:
                return f"install a version of {self.distribution} for that, or another distqueue"
            case ProblemKind.CONFLICT:
                return "uninstall one of them, or switch it off with DISTQUEUE_DISABLE_PLUGINS=NAME"


class Unusable(Exception):
    """Why a plugin cannot be used, on the way from where that is found out to a PluginProblem."""

    def __init__(self, kind: ProblemKind, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.remedy = remedy


class BackendPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that can be opened, and the distribution that it comes from."""

    scheme: str
    distribution: str
    version: str
    spec: BackendSpec


class BackendStatus(StrEnum):
    """How a backend stands in the listing."""

    OK = "ok"
    BROKEN = "broken"
    INCOMPATIBLE = "incompatible"
    CONFLICT = "conflict"
    DISABLED = "disabled"


class BackendRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``distqueue backends``; summary and capabilities are known only if it is ok."""

    scheme: str
    status: BackendStatus
    distribution: str
    version: str
    reason: str = ""
    summary: str = ""
    capabilities: Capabilities | None = None


STATUS_OF = {
    ProblemKind.IMPORT: BackendStatus.BROKEN,
    ProblemKind.VALIDATION: BackendStatus.BROKEN,
    ProblemKind.CONTRACT: BackendStatus.INCOMPATIBLE,
    ProblemKind.CONFLICT: BackendStatus.CONFLICT,
}
