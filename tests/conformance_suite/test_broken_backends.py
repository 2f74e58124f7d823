"""The suite passes an honest minimal backend and finds out one that ignores what it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from distqueue.conformance import BackendConformance
from distqueue.conformance.suite.without import WITHOUT

from .broken import FEATURES, Careless, Unordered, wrapped


@pytest.mark.slow
class TestUnordered(wrapped(Unordered)):  # type: ignore[misc]
    """A backend that has no feature, keeps no order and says so passes every clause."""


@pytest.mark.slow
class TestForgetful(BackendConformance):
    """And one that forgets an id with its task."""

    url = "memory://{name}?dedup_window=0&dedup_max=0"


@pytest.mark.parametrize("capability", FEATURES)
def test_a_backend_that_ignores_what_it_lacks_is_found_out(capability: str, tmp_path: Path) -> None:
    test = wrapped(Careless)()
    with test.opened_in(tmp_path), pytest.raises(AssertionError):
        WITHOUT[capability](test)


@pytest.mark.parametrize("capability", ["durability", "shared_between_processes"])
def test_a_guarantee_that_is_not_declared_leaves_a_weaker_promise(capability: str, tmp_path: Path) -> None:
    test = wrapped(lambda inner: inner)()
    with test.opened_in(tmp_path):
        test.check_without(capability)
