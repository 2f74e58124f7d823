"""``redrive``, ``cancel``, ``purge``, ``pause`` and ``resume``."""

from __future__ import annotations

import json

import pytest

from .conftest import Shell

pytestmark = pytest.mark.slow


@pytest.fixture
def buried(full: Shell) -> Shell:
    """A shell whose tasks are dead, with the errors ``no 0`` to ``no 2``."""
    for number in range(3):
        full("reject", full("get", "--lease", "60").json["receipt"], "--error", f"no {number}")
    return full


def test_all_dead_tasks_are_redriven(buried: Shell) -> None:
    assert buried("redrive").out == "redriven: 3 tasks\n"
    assert buried("get", "-n", "9").out == "1\n2\n3\n"


def test_one_task_or_those_with_an_error_are_redriven(buried: Shell) -> None:
    first = buried("dead", "-n", "1", "--json").json["task_id"]
    assert buried("redrive", first).out == "redriven: 1 task\n"
    assert buried("redrive", "--error", "no 2").out == "redriven: 1 task\n"
    assert [task["error"] for task in buried("dead", "--json").json_lines] == ["no 1"]


def test_those_of_one_function_are_redriven(shell: Shell) -> None:
    for task_id, name in (("1", "send"), ("2", "ping"), ("3", "send")):
        shell.bury(task_id, f"{name} failed", {"task": name, "args": {}})
    assert shell("redrive", "--task", "send", "--error", "ping").out == "redriven: 0 tasks\n"
    assert shell("redrive", "--task", "send", "--since", "0").out == "redriven: 0 tasks\n"
    assert shell("redrive", "--task", "send", "--since", "1000").out == "redriven: 2 tasks\n"
    assert [task["error"] for task in shell("dead", "--json").json_lines] == ["ping failed"]
    assert shell.stats()["ready"] == 2


def test_a_redrive_by_time_names_those_whose_keys_are_taken(shell: Shell) -> None:
    shell.bury("old", None, 1, unique="key")
    shell.bury("other", None, 1)
    shell.line("put 2 --unique key")
    done = shell("redrive", "--since", "1000", code=4)
    assert done.out == "redriven: 1 task\n"
    assert "task old stays dead" in done.err


def test_many_are_redriven_page_by_page(shell: Shell) -> None:
    with shell.queue() as queue:
        queue.put_many([{"task": "send", "args": {}}] * 1100)
        for delivery in queue.get_many(1100):
            delivery.reject()
    assert shell("redrive", "--task", "send").out == "redriven: 1100 tasks\n"
    assert (shell.stats()["ready"], shell.stats()["dead"]) == (1100, 0)


def test_those_that_fail_while_others_are_redriven_stay_dead(shell: Shell) -> None:
    shell.bury("old", "no", {"task": "send", "args": {}})
    shell.bury("new", "no", {"task": "send", "args": {}})
    lines = [json.loads(line) for line in shell("export").lines]
    (new,) = (line["task"] for line in lines if line.get("task", {}).get("task_id") == "new")
    new["failures"][-1]["at"] += 1000
    other = ("-u", "json:///Other.json")
    shell("import", *other, stdin="".join(json.dumps(line) + "\n" for line in lines))
    assert shell("redrive", "--task", "send", *other).out == "redriven: 1 task\n"
    assert [task["task_id"] for task in shell("dead", "--json", *other).json_lines] == ["new"]


def test_an_id_and_a_filter_are_too_much(shell: Shell) -> None:
    assert "leave out --task" in shell("redrive", "it", "--task", "send", code=2).err


def test_a_redrive_into_a_taken_key_is_refused(shell: Shell) -> None:
    shell.line("put 1 --id old --unique key")
    shell("reject", shell("get", "--lease", "60").json["receipt"])
    shell.line("put 2 --unique key")
    done = shell("redrive", code=4)
    assert done.out == "redriven: 0 tasks\n"
    assert "task old stays dead" in done.err


def test_a_redrive_of_a_task_that_is_not_dead_finds_nothing(full: Shell) -> None:
    full("redrive", "nobody", code=3)


def test_cancelled_tasks_are_gone(full: Shell) -> None:
    ids = [task["task_id"] for task in full("peek", "--json").json_lines]
    assert full("cancel", *ids[:2]).lines == [f"{each} is cancelled; it was ready" for each in ids[:2]]
    assert full("get", "-n", "9").out == "3\n"


def test_cancelling_what_is_not_there_says_so_and_cancels_the_rest(full: Shell) -> None:
    task_id = full("peek", "-n", "1", "--json").json["task_id"]
    done = full("cancel", "nobody", task_id, code=3)
    assert done.out == f"{task_id} is cancelled; it was ready\n"
    assert "there is no task nobody" in done.err


def test_a_purge_wants_to_be_meant(full: Shell) -> None:
    assert "--yes" in full("purge", code=2).err
    assert full.stats()["ready"] == 3
    assert full("purge", "--yes").out == "purged: 3 tasks\n"


def test_a_purge_of_some_states_leaves_the_others(full: Shell) -> None:
    full("get", "--lease", "600")
    full("put", "4", "--delay", "1000")
    assert full.line("purge -y --state ready --state scheduled").out == "purged: 3 tasks\n"
    assert full.stats()["leased"] == 1


def test_a_paused_queue_gives_nothing_until_it_is_resumed(full: Shell) -> None:
    assert full("pause").out == "queue default is paused\n"
    full("get", code=3)
    assert full.stats()["paused"] is True
    assert full("resume").out == "queue default is resumed\n"
    assert full("get").out == "1\n"


def test_to_pause_a_queue_that_nothing_was_in_says_so(full: Shell) -> None:
    done = full("pause", "-q", "defualt")
    assert done.out == "queue defualt is paused\n"
    assert done.err == "nothing has been in queue defualt yet; there are: default\n"
    assert full("resume", "-q", "default").err == ""
