"""A pytest plugin that leaves out all tests but those of the clauses that the environment names, if any."""

from __future__ import annotations

import os
from typing import Final

import pytest

from distqueue.conformance.clauses import clause_of

CLAUSES: Final = "DISTQUEUE_CLAUSES"
"""The environment variable with the ids of the clauses, separated by spaces."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the clauses that are wanted."""
    wanted = os.environ.get(CLAUSES, "").split()
    if wanted:
        kept = [item for item in items if _clause(item) in wanted]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def _clause(item: pytest.Item) -> str:
    clause = clause_of(getattr(item, "function", None))
    return clause.id if clause else ""
