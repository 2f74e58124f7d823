"""What to say about a scheme that no installed plugin serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from distqueue.errors import UnknownBackend
from distqueue.options import nearest
from distqueue.plugins.discovery import Installed

_BUILT_IN: Final = frozenset({"json", "memory", "postgres", "postgresql", "sharded-json", "sqlite"})
_PLANNED: Final = frozenset({"nats", "redis", "rediss", "valkey"})


def unknown_backend(scheme: str, known: Sequence[str], off: Sequence[Installed]) -> UnknownBackend:
    """Return the error for a scheme: what there is, the nearest match, and what to install.

    ``known`` are the schemes that can be opened, ``off`` the switched-off plugins for this one.
    """
    installed = f"installed: {', '.join(sorted(known)) or 'none'}"
    return UnknownBackend(f"no backend for {scheme}: URLs; {_remedy(scheme, known, off)} ({installed})")


def _remedy(scheme: str, known: Sequence[str], off: Sequence[Installed]) -> str:
    if off:
        return f"{off[0].label} has one, but DISTQUEUE_DISABLE_PLUGINS switches it off"
    if scheme == "broker":
        return "it names a broker process, not a store: give the URL of the store itself"
    if scheme in _BUILT_IN:
        return "it comes with distqueue: pip install distqueue (in a checkout: pip install -e .)"
    if scheme in _PLANNED:
        return "it is planned, but not part of this release"
    if near := nearest(scheme, [*known, *_PLANNED, *_BUILT_IN]):
        return f"did you mean {near}:?"
    return f"pip install the package that has it as entry point {scheme!r} of 'distqueue.backends'"
