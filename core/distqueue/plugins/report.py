"""What is known of a plugin: that it works, or what is wrong with it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from distqueue.capabilities import Capabilities
from distqueue.plugins.spec import BackendSpec


class ProblemKind(StrEnum):
    """In which way a plugin is unusable."""

    IMPORT = "import"
    """Its module cannot be imported."""
    VALIDATION = "validation"
    """A hook or a spec of it is not what it has to be."""
    CONTRACT = "contract"
    """It was written for another version of the contract."""
    CONFLICT = "conflict"
    """Another distribution serves the same scheme."""


class PluginProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin that cannot be used, and why. ``name`` is its entry point."""

    kind: ProblemKind
    name: str
    distribution: str
    version: str
    reason: str
    cause: BaseException | None = None


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
    """One line of ``distqueue backends``. ``capabilities`` is known only of a backend that is ok."""

    scheme: str
    status: BackendStatus
    distribution: str
    version: str
    reason: str = ""
    summary: str = ""
    capabilities: Capabilities | None = None


STATUS_OF: dict[ProblemKind, BackendStatus] = {
    ProblemKind.IMPORT: BackendStatus.BROKEN,
    ProblemKind.VALIDATION: BackendStatus.BROKEN,
    ProblemKind.CONTRACT: BackendStatus.INCOMPATIBLE,
    ProblemKind.CONFLICT: BackendStatus.CONFLICT,
}
