"""The suite passes an honest minimal backend and finds out each broken one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distqueue.broker import Broker
from distqueue.conformance import BackendConformance
from distqueue.conformance.suite.dedup import ready
from distqueue.conformance.suite.without import WITHOUT

from .broken import (
    FEATURES,
    AcksTooLate,
    Careless,
    IgnoresOption,
    LastInFirstOut,
    LosesFollowUps,
    NeverWakes,
    PretendsToPause,
    StopsAtTheBadTask,
    TakesAnyPayload,
    Unordered,
    wrapped,
)

type Check = Callable[[BackendConformance], object]


class TestUnordered(wrapped(Unordered)):  # type: ignore[misc]
    """A backend that has no feature, keeps no order and says so passes every clause."""


class TestForgetful(BackendConformance):
    """And one that forgets an id with its task."""

    url = "memory://{name}?dedup_window=0&dedup_max=0"


BROKEN: dict[str, tuple[Callable[[Broker], Broker], Check]] = {
    "priority": (lambda inner: IgnoresOption(inner, "priority"), lambda test: test.test_strict_priority()),
    "delay": (lambda inner: IgnoresOption(inner, "delay"), lambda test: test.test_a_delayed_task_waits()),
    "group": (lambda inner: IgnoresOption(inner, "group"), lambda test: test.test_one_at_a_time_in_order()),
    "unique": (
        lambda inner: IgnoresOption(inner, "unique"),
        lambda test: test.test_a_key_is_taken_while_its_task_is_live(),
    ),
    "expires_in": (
        lambda inner: IgnoresOption(inner, "expires_in"),
        lambda test: test.test_an_unclaimed_task_expires(),
    ),
    "keep_done": (
        lambda inner: IgnoresOption(inner, "keep_done"),
        lambda test: test.test_a_done_task_is_kept(),
    ),
    "headers": (
        lambda inner: IgnoresOption(inner, "headers"),
        lambda test: test.test_a_task_keeps_its_options(),
    ),
    "late ack": (AcksTooLate, lambda test: test.test_a_superseded_receipt_is_stale("ack")),
    "follow-ups": (LosesFollowUps, lambda test: test.test_follow_up_tasks_are_stored()),
    "payload": (
        TakesAnyPayload,
        lambda test: test.test_another_payload_for_a_task_that_exists_is_refused(ready),
    ),
    "order": (LastInFirstOut, lambda test: test.test_first_in_first_out(7)),
    "pause": (PretendsToPause, lambda test: test.test_a_paused_queue_gives_nothing()),
    "wake-up": (NeverWakes, lambda test: test.test_no_wake_up_is_lost()),
    "batch": (StopsAtTheBadTask, lambda test: test.test_a_bad_task_does_not_hurt_its_neighbours()),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_backend_is_found_out(name: str, tmp_path: Path) -> None:
    wrap, check = BROKEN[name]
    test = wrapped(wrap)()
    with test.opened_in(tmp_path), pytest.raises((AssertionError, TimeoutError)):
        check(test)


@pytest.mark.parametrize("name", BROKEN)
def test_a_good_backend_passes_the_same_checks(name: str, tmp_path: Path) -> None:
    test = wrapped(lambda inner: inner)()
    with test.opened_in(tmp_path):
        BROKEN[name][1](test)


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
