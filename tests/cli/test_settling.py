"""``ack``, ``retry``, ``release`` and ``reject`` by receipt."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Shell

pytestmark = pytest.mark.slow


def take(shell: Shell) -> dict[str, Any]:
    """Get a task with a lease."""
    handed: dict[str, Any] = shell("get", "--lease", "600").json
    return handed


def task(shell: Shell, task_id: str) -> dict[str, Any]:
    """Show a task."""
    shown: dict[str, Any] = shell("show", task_id, "--json").json
    return shown


def test_an_acked_task_is_done(full: Shell) -> None:
    handed = take(full)
    assert full("ack", handed["receipt"]).out == f"{handed['task_id']} is done\n"
    full("show", handed["task_id"], code=3)


def test_several_receipts_are_settled_together(full: Shell) -> None:
    receipts = [take(full)["receipt"] for _ in range(3)]
    assert len(full("ack", *receipts).lines) == 3
    assert full.stats()["leased"] == 0


def test_a_retried_task_is_scheduled_with_its_error(full: Shell) -> None:
    handed = take(full)
    said = full("retry", handed["receipt"], "--delay", "1000", "--error", "host is down").out
    assert said.startswith(f"{handed['task_id']} is scheduled for ")
    shown = task(full, handed["task_id"])
    assert (shown["state"], shown["attempt"], shown["error"]) == ("scheduled", 2, "host is down")


def test_without_a_delay_the_backoff_of_the_configuration_counts(full: Shell) -> None:
    full.directory.joinpath("distqueue.toml").write_text("[defaults.retry]\nfirst = 900\njitter = 0\n")
    handed = take(full)
    full("retry", handed["receipt"])
    shown = task(full, handed["task_id"])
    assert shown["until"] - shown["put_at"] == pytest.approx(900, abs=60)


def test_a_released_task_keeps_its_attempt_and_place(full: Shell) -> None:
    handed = take(full)
    assert full("release", handed["receipt"]).out == f"{handed['task_id']} is ready\n"
    assert take(full)["task_id"] == handed["task_id"]
    assert task(full, handed["task_id"])["attempt"] == 1


def test_a_task_released_with_a_delay_is_scheduled_and_keeps_its_attempt(full: Shell) -> None:
    handed = take(full)
    said = full("release", handed["receipt"], "--delay", "1000").out
    assert said.startswith(f"{handed['task_id']} is scheduled for ")
    shown = task(full, handed["task_id"])
    assert (shown["state"], shown["attempt"], shown["error"]) == ("scheduled", 1, None)


def test_a_rejected_task_is_dead(full: Shell) -> None:
    handed = take(full)
    assert full("reject", handed["receipt"], "--error", "never").out == f"{handed['task_id']} is dead\n"
    assert full("dead", "--json").json["error"] == "never"


def test_settling_again_is_fine_and_otherwise_refused(full: Shell) -> None:
    receipt = take(full)["receipt"]
    full("ack", receipt)
    full("ack", receipt)
    assert full("release", receipt, code=4).out == ""


def test_one_bad_receipt_does_not_spoil_the_others(full: Shell) -> None:
    handed = take(full)
    done = full("ack", "nonsense", handed["receipt"], code=4)
    assert done.out == f"{handed['task_id']} is done\n"
    assert "'nonsense' is not a receipt" in done.err


@pytest.mark.parametrize("verb", ["ack", "retry", "release", "reject"])
def test_a_receipt_belongs_to_its_queue(full: Shell, verb: str) -> None:
    receipt = take(full)["receipt"]
    full(verb, receipt, "-q", "other", code=4)
    assert full.stats()["leased"] == 1
