"""Who forgets ``-q`` is told where the task is."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shell

pytestmark = pytest.mark.slow


def test_show_finds_a_task_in_any_queue(shell: Shell) -> None:
    task_id = shell("put", "1", "-q", "orders").lines[0]
    shell("put", "2")
    assert task_id in shell("show", task_id).out
    assert "there is no task nothing in any queue" in shell("show", "nothing", code=3).err
    assert "in queue default" in shell("show", task_id, "-q", "default", code=3).err


def test_other_verbs_say_where_it_is(shell: Shell) -> None:
    shell("put", "1", "-q", "orders", "--id", "it")
    receipt: str = shell("get", "-q", "orders", "--lease", "60").json["receipt"]
    shell("put", "2")
    shell("reject", receipt, "-q", "orders")
    assert "other queues have dead tasks: 1 in orders" in shell("dead").err
    assert "it is in queue orders: add -q orders" in shell("redrive", "it", code=3).err
    assert "it is in queue orders: add -q orders" in shell("cancel", "it", code=3).err
