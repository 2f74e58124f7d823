"""``show``, ``stats``, ``peek`` and ``dead``: tables, tab-separated lines and JSON."""

from __future__ import annotations

from distqueue.results import QueueStats
from distqueue.task import TaskRecord

from .conftest import Shell


def test_show_has_every_field(shell: Shell) -> None:
    shell.line("put '[1]' --id it --header a=b")
    rows = [line.split("\t") for line in shell("show", "it").lines]
    assert [name for name, _ in rows] == ["field", *TaskRecord.__struct_fields__]
    assert ["data", "[1]"] in rows
    assert list(shell("show", "it", "--json").json) == list(TaskRecord.__struct_fields__)


def test_show_tells_how_attempts_failed(shell: Shell) -> None:
    shell.line("put 1 --id it")
    for error in ("no route", "no\treply"):
        receipt = shell.line("get --lease 60").json["receipt"]
        shell("retry", receipt, "--delay", "0", "--error", error)
    first, second = shell("show", "it", "--json").json["failures"]
    assert first == {"attempt": 1, "at": first["at"], "verb": "retry", "error": "no route", "traceback": None}
    assert second["attempt"] == 2
    (row,) = (line for line in shell("show", "it").lines if line.startswith("failures\t"))
    assert row.startswith("failures\tattempt 1: retry ")
    assert row.endswith(", no reply")


def test_a_task_that_is_not_there_is_said_and_has_an_exit_code(full: Shell) -> None:
    done = full("show", "nobody", code=3)
    assert done.out == ""
    assert done.err == "distqueue: there is no task nobody in queue default; it may be done already\n"


def test_stats_count_every_queue(full: Shell) -> None:
    full.line("put 1 -q emails --delay 1000")
    lines = full("stats").lines
    assert lines[0] == "queue\tready\tscheduled\tleased\tdone\tdead\twaiting\tpaused\toldest ready\tfence"
    assert lines[1].startswith("default\t3\t0\t0\t0\t0\t0\tFalse\t")
    assert lines[2] == "emails\t0\t1\t0\t0\t0\t0\tFalse\t\t"
    assert f"path\t{full.store}" in lines


def test_stats_as_json_have_the_counts_and_the_store(full: Shell) -> None:
    counted = full("stats", "--json").json
    assert list(counted) == ["queues", "store"]
    assert list(counted["queues"][0]) == list(QueueStats.__struct_fields__)
    assert counted["store"]["path"] == str(full.store)


def test_stats_of_one_queue(full: Shell) -> None:
    full.line("put 1 -q emails")
    assert [each["queue"] for each in full("stats", "--json", "-q", "emails").json["queues"]] == ["emails"]


def test_peek_lists_the_line_in_order_and_changes_nothing(shell: Shell) -> None:
    shell.line("put 1 --id low")
    shell.line("put 2 --id high --priority 9")
    shell.line("put 3 --id later --delay 1000")
    assert [task["task_id"] for task in shell("peek", "--json").json_lines] == ["high", "low"]
    assert [line.split("\t")[0] for line in shell("peek", "-n", "1").lines] == ["task_id", "high"]
    assert shell.stats()["ready"] == 2


def test_peek_lists_another_state_too(shell: Shell) -> None:
    shell.line("put 1 --id a --delay 1000")
    shell.line("put 2 --id b --delay 500")
    assert [task["task_id"] for task in shell.line("peek --state scheduled --json").json_lines] == ["a", "b"]
    row = shell.line("peek --state scheduled").lines[1].split("\t")
    assert (row[0], row[2][:3]) == ("a", "in ")


def test_dead_tasks_come_with_their_errors(full: Shell) -> None:
    for number in range(2):
        full("reject", full("get", "--lease", "60").json["receipt"], "--error", f"no {number}\nreally")
    assert [task["error"] for task in full("dead", "--json").json_lines] == ["no 0\nreally", "no 1\nreally"]
    assert full("dead", "--count", "1").lines[1].split("\t")[2] == r"no 0\nreally"


def test_an_empty_list_is_an_answer(full: Shell) -> None:
    assert full("dead").out == "task_id\tattempt\terror\tdata\n"
    assert full("dead", "--json").out == ""
    assert full("peek", "-q", "other", "--json").out == ""


def test_long_lists_are_read_page_by_page(shell: Shell) -> None:
    shell("put", "--quiet", "--delay", "1000", stdin="".join(f"{n}\n" for n in range(2500)))
    tasks = shell.line("peek --state scheduled -n 2400 --json").json_lines
    assert [task["data"] for task in tasks] == list(range(2400))


def test_what_could_steer_a_terminal_is_made_visible(shell: Shell) -> None:
    shell("put", '"a\u009b31m\u202eb"', "--id", "it")
    shell("reject", shell("get", "--lease", "60").json["receipt"], "--error", "\x1b[31mred\ttab")
    out = shell("dead").out
    assert r"a\x9b31m\u202eb" in out
    assert r"\x1b[31mred tab" in out
    assert shell("show", "it").out.isascii()


def test_the_head_of_a_list_is_enough(shell: Shell) -> None:
    shell("put", "--quiet", stdin="".join(f'"{n}{"x" * 1000}"\n' for n in range(1000)))
    child = shell.start("peek", "-n", "1000", "--json")
    assert child.stdout
    assert child.stdout.readline()
    child.stdout.close()
    assert child.wait() == 1
    assert child.stderr
    assert child.stderr.read() == ""
