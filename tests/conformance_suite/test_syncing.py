"""Backends that answer before they sync are found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distqueue.commands import Reject
from distqueue.conformance import BackendConformance
from distqueue.conformance.harness import harness_for
from distqueue.conformance.suite.holding import NotRun
from distqueue.conformance.syscalls import cannot_trace

pytestmark = pytest.mark.slow


def broken(url: str, how: str) -> BackendConformance:
    """The suite for a backend whose processes are prepared to be wrong."""
    good = harness_for(url)

    class Broken(good):  # type: ignore[misc, valid-type]
        prepare = f"{__package__}.unsynced:{how}"

    class Subject(BackendConformance):
        harness = Broken

    Subject.url = url
    return Subject()


def puts(test: BackendConformance) -> None:
    test.test_a_put_is_synced()


def settles(test: BackendConformance) -> None:
    test.test_settling_is_synced(Reject)


def administers(test: BackendConformance) -> None:
    test.test_administration_is_synced()


def tidies(test: BackendConformance) -> None:
    test.test_tidying_up_is_synced()


def survives(test: BackendConformance) -> None:
    test.test_what_a_killed_process_left_is_synced()


JSON = "json:///{tmp}/Queue.json"
SHARDED = "sharded-json:///{tmp}/queue.d"
SQLITE = "sqlite:///{tmp}/queue.db"


@pytest.mark.skipif(cannot_trace() is not None, reason="nothing can be traced here")
@pytest.mark.parametrize(
    ("url", "how", "check"),
    [
        (JSON, "no_sync_of_data", puts),
        (SQLITE, "no_sync_of_data", settles),
        (SHARDED, "no_sync_of_data", administers),
        (JSON, "no_sync_of_names", puts),
        (SHARDED, "no_sync_of_names", puts),
        (JSON, "no_sync_of_replacements", tidies),
        (JSON, "no_sync_of_names", survives),
    ],
)
def test_a_backend_that_answers_too_early_is_found_out(
    url: str, how: str, check: Callable[[BackendConformance], None], tmp_path: Path
) -> None:
    test = broken(url, how)
    with test.opened_in(tmp_path), pytest.raises(AssertionError, match="before the sync"):
        check(test)


def test_a_backend_that_declares_no_sync_is_not_judged(tmp_path: Path) -> None:
    class Memory(BackendConformance):
        url = "memory://{name}"

    test = Memory()
    with test.opened_in(tmp_path), pytest.raises(NotRun, match="memory is declared"):
        test.new_disk()
