"""The conformance suite: what a backend promises, as tests that its author runs.

    from distqueue.conformance import BackendConformance

    class TestAcme(BackendConformance):
        url = "acme://localhost/{name}"

Needs the extra ``distqueue[conformance]``. The checker of histories and the campaign of kills, which
child processes import too, need nothing but distqueue; so pytest is imported only with the suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distqueue.conformance.suite import BackendConformance

__all__ = ["BackendConformance"]


def __getattr__(name: str) -> object:
    if name != "BackendConformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    pytest.register_assert_rewrite("distqueue.conformance.suite")
    from distqueue.conformance.suite import BackendConformance

    return BackendConformance
