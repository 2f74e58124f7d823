"""``show``, ``stats``, ``peek`` and ``dead``: tables, tab-separated lines and JSON."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from distqueue.results import QueueStats
from distqueue.task import TaskRecord

from .conftest import Shell

pytestmark = pytest.mark.slow


def test_show_as_json_has_every_field(shell: Shell) -> None:
    shell.line("put '[1]' --id it --header a=b")
    assert list(shell("show", "it", "--json").json) == list(TaskRecord.__struct_fields__)


def test_show_tells_what_a_task_is(shell: Shell) -> None:
    shell.line(
        "put '[1]' --id it --header a=b --priority 3 --group g --unique u --publisher-id me --keep-done 9"
    )
    told = shell("show", "it").lines
    assert told[2] == "payload   [1]"
    assert told[3].endswith(" by me, as number 1")
    assert told[4] == "attempt   1 of 5, handed out never"
    assert told[5] == "options   priority 3, group g, unique u, kept 9 s once it is done"
    assert told[6] == "header    a=b"


def test_show_tells_how_a_task_stands(shell: Shell) -> None:
    def standing() -> str:
        return shell("show", "it").lines[0].removeprefix("Task it of queue default ")

    with shell.queue() as queue:
        queue.put(1, task_id="it", delay=1000)
    assert standing().startswith("is scheduled: it is due in ")
    with shell.queue() as queue:
        queue.cancel("it")
        queue.put(1, task_id="that", keep_done=1000)
        queue.pause()

    def standing_of_that() -> str:
        return shell("show", "that").lines[0]

    assert "until the queue is resumed" in standing_of_that()
    with shell.queue() as queue:
        queue.resume()
        assert "is ready: it is got when its turn comes, for attempt 1 of 5" in standing_of_that()
        delivery = queue.get()
        assert delivery is not None
        assert "is leased: somebody has it for attempt 1 of 5, until in " in standing_of_that()
        delivery.ack()
    assert "is done; it is kept until 20" in standing_of_that()


def test_show_tells_why_a_task_is_dead(shell: Shell) -> None:
    shell.bury("rejected", None, 1, "emails")
    told = shell("show", "rejected", "-q", "emails").lines[0]
    assert "is dead: it was rejected in attempt 1 of 5" in told
    assert told.endswith("`distqueue redrive rejected -q emails` makes it ready again.")
    shell.line("put 1 --id failed --max-attempts 1")
    shell("retry", shell("get", "--lease", "60").json["receipt"], "--error", "no")
    assert "is dead: attempt 1 of 1 has failed, and no more are allowed" in shell("show", "failed").lines[0]


def test_show_knows_a_call(shell: Shell) -> None:
    shell("put", '{"task": "send", "args": {"to": "a@example.org", "copies": [1, 2]}}', "--id", "call")
    shell("put", '{"task": "send", "args": {}, "more": 1}', "--id", "like")
    assert shell("show", "call").lines[2] == 'call      send(to="a@example.org", copies=[1, 2])'
    assert shell("show", "like").lines[2] == 'payload   {"task": "send", "args": {}, "more": 1}'


def test_show_has_the_traceback_of_a_handler(shell: Shell) -> None:
    (shell.directory / "shop.py").write_text(
        "from distqueue import App\napp = App()\n@app.task\ndef fail():\n    raise ValueError('no')\n"
    )
    shell("put", '{"task": "fail", "args": {}}', "--id", "it", "--max-attempts", "1")
    child = shell.start("work", "shop:app", "--burst")
    child.communicate()
    assert child.returncode == 0
    told = shell("show", "it").lines
    assert any(line.endswith(": failed, ValueError: no") for line in told)
    assert "        raise ValueError('no')" in told
    assert told[-1] == "    ValueError: no"


def test_show_tells_how_attempts_failed(shell: Shell) -> None:
    shell.line("put 1 --id it")
    for error in ("no route", "no\treply"):
        receipt = shell.line("get --lease 60").json["receipt"]
        shell("retry", receipt, "--delay", "0", "--error", error)
    first, second = shell("show", "it", "--json").json["failures"]
    assert first == {"attempt": 1, "at": first["at"], "verb": "retry", "error": "no route", "traceback": None}
    assert second["attempt"] == 2
    told = shell("show", "it").lines
    assert told[0].startswith("Task it of queue default is ready: ")
    assert "for attempt 3 of 5" in told[0]
    first, second = (line for line in told if line.startswith("  attempt "))
    assert first.startswith("  attempt 1, ")
    assert first.endswith(": failed, no route")
    assert second.endswith(": failed, no\treply")


def test_a_task_that_is_not_there_is_said_and_has_an_exit_code(full: Shell) -> None:
    done = full("show", "nobody", code=3)
    assert done.out == ""
    assert done.err == "distqueue: there is no task nobody in any queue; it may be done already\n"


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


@pytest.fixture
def buried(shell: Shell) -> Shell:
    """A shell whose store has dead calls of two functions, and another dead task."""
    shell.bury("send-1", "no route to 10.0.0.1", {"task": "send", "args": {}})
    shell.bury("send-2", "no route to 10.0.0.2\nreally", {"task": "send", "args": {}})
    shell.bury("ping", "no route to 10.0.0.3", {"task": "ping", "args": {}})
    shell.bury("plain", "no", 1)
    return shell


def ids(shell: Shell, *filters: str) -> list[str]:
    """Return the ids of the dead tasks that are listed."""
    return [task["task_id"] for task in shell("dead", "--json", *filters).json_lines]


def test_dead_tasks_are_counted_by_what_went_wrong(buried: Shell) -> None:
    first, second = buried("dead", "--group", "--json").json_lines
    assert (first["error"], first["count"]) == ("no route to ….….….…", 3)
    assert first["tasks"] == {"send": 2, "ping": 1}
    assert first["example"] == "ping"
    times = [buried("show", name, "--json").json["failures"][-1]["at"] for name in ("send-1", "ping")]
    assert [first["first_at"], first["last_at"]] == times
    assert (second["error"], second["count"], second["tasks"]) == ("no", 1, {"": 1})
    rows = [line.split("\t") for line in buried("dead", "--group").lines]
    assert rows[0] == ["error", "count", "tasks", "first", "last", "example"]
    assert rows[1][:3] == ["no route to ….….….…", "3", "send, ping"]
    assert len(buried("dead", "--group", "-n", "1").lines) == 2


def test_the_dead_of_one_function_or_error_or_time_are_listed(buried: Shell) -> None:
    assert ids(buried) == ["send-1", "send-2", "ping", "plain"]
    assert ids(buried, "--task", "send") == ["send-1", "send-2"]
    assert ids(buried, "--task", "send", "-n", "1") == ["send-1"]
    assert ids(buried, "--error", "10.0.0.2") == ["send-2"]
    at = buried("show", "ping", "--json").json["failures"][-1]["at"]
    since = datetime.fromtimestamp(at - 0.000001, UTC).isoformat()  # which is rounded to a millionth
    assert ids(buried, "--since", since) == ["ping", "plain"]
    assert ids(buried, "--since", since, "--task", "ping") == ["ping"]
    assert ids(buried, "--since", "1000") == ["send-1", "send-2", "ping", "plain"]
    assert ids(buried, "--since", "0") == []
    assert [row["count"] for row in buried("dead", "--group", "--json", "--task", "send").json_lines] == [2]


def test_a_time_without_its_zone_is_none(buried: Shell) -> None:
    assert "not a time with its time zone" in buried("dead", "--since", "2030-01-31T08:00:00", code=2).err
    for wrong in ("nan", "-5", "inf"):
        assert "seconds ago, 0 or more" in buried("redrive", "--since", wrong, code=2).err.replace("\n", " ")


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
