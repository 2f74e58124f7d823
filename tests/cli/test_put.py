"""``distqueue put``."""

from __future__ import annotations

import json
import os
import subprocess
from uuid import UUID

import pytest

from tests import commands

from .conftest import Shell


def test_a_task_is_put_and_its_id_printed(shell: Shell) -> None:
    done = shell("put", '{"to": "a@example.org"}')
    assert UUID(done.out.strip()).version == 7
    task = shell("show", done.out.strip(), "--json").json
    assert task["data"] == {"to": "a@example.org"}
    assert task["state"] == "ready"


def test_the_first_put_creates_the_store_and_says_where(shell: Shell) -> None:
    assert shell("put", "1").err == f"created {shell.store}\n"
    assert shell("put", "2").err == ""


def test_a_store_in_memory_is_said_to_end_with_the_command(shell: Shell) -> None:
    assert "ends with this command" in shell("put", "1", "-u", "memory://").err


def test_an_id_that_is_empty_is_refused_and_not_made_up(shell: Shell) -> None:
    """As that of ``--id "$ID"`` is if the variable is not set: a second put would be another task."""
    assert "'' is not a task id" in shell("put", "1", "--id", "", code=4).err


def test_the_same_id_twice_is_one_task_and_noted(shell: Shell) -> None:
    shell("put", "1", "--id", "it")
    done = shell("put", "1", "--id", "it")
    assert done.out == "it\n"
    assert "duplicate: it" in done.err
    assert shell.stats()["ready"] == 1


def test_all_options_reach_the_task(shell: Shell) -> None:
    shell.line(
        "put 1 --id it --due 2100-01-31T08:00:00+01:00 --priority 7 --max-attempts unlimited "
        "--group g --unique u --header a=b --header c=d=e --keep-done 60 --publisher-id me"
    )
    task = shell("show", "it", "--json").json
    assert task["state"] == "scheduled"
    assert task["until"] == 4105062000.0
    assert (task["priority"], task["max_attempts"], task["keep_done"]) == (7, None, 60.0)
    assert (task["group"], task["unique"], task["publisher_id"]) == ("g", "u", "me")
    assert task["headers"] == {"a": "b", "c": "d=e"}


def test_delay_and_expiry_count_from_now(shell: Shell) -> None:
    shell.line("put 1 --id it --delay 1000 --expires-in 5000 --max-attempts 3")
    task = shell("show", "it", "--json").json
    assert task["until"] - task["put_at"] == pytest.approx(1000)
    assert task["expires_at"] - task["put_at"] == pytest.approx(5000)
    assert task["max_attempts"] == 3


def test_each_line_of_the_input_is_a_task(shell: Shell) -> None:
    done = shell("put", stdin='1\n\n"zwei ä"\n[3, 3.0]')
    assert [shell("show", line, "--json").json["data"] for line in done.lines] == [1, "zwei ä", [3, 3.0]]
    assert [task["data"] for task in shell("peek", "--json").json_lines] == [1, "zwei ä", [3, 3.0]]


def test_a_dash_reads_lines_too(shell: Shell) -> None:
    assert len(shell("put", "-", stdin="1\n2\n").lines) == 2


def test_numbers_keep_all_their_digits(shell: Shell) -> None:
    number = "123456789012345678901234567890.000"
    shell("put", number)
    assert shell("get").out == f"{number}\n"


def test_bad_lines_are_named_and_the_others_stored(shell: Shell) -> None:
    done = shell("put", "--unique", "key", stdin="1\n{bad\n2\n", code=4)
    assert len(done.lines) == 1
    assert "line 2: the payload is not one JSON value" in done.err
    assert "line 3: unique key 'key' is held by" in done.err
    assert "2 lines refused" in done.err


def test_lines_are_stored_as_they_arrive(shell: Shell) -> None:
    child = shell.start("put")
    assert child.stdin
    assert child.stdout
    for number in range(3):  # each is answered while the input stays open
        child.stdin.write(f"{number}\n")
        child.stdin.flush()
        assert UUID(child.stdout.readline().strip())
    child.stdin.close()
    assert child.wait() == 0
    assert shell.stats()["ready"] == 3


def test_many_lines_from_a_file_are_stored_in_order(shell: Shell) -> None:
    shell.directory.joinpath("tasks").write_text("".join(f"{n}\n" for n in range(25_000)))
    with open(shell.directory / "tasks") as tasks:
        child = shell.start("put", "--quiet", stdin=tasks)
        out, _ = child.communicate()
    assert out == ""
    numbers = [task["data"] for task in shell("peek", "-n", "30000", "--json").json_lines]
    assert numbers == list(range(25_000))


def test_two_publishers_at_once_lose_nothing(shell: Shell) -> None:
    children = [shell.start("put", "--header", f"by={name}") for name in "ab"]
    for number in range(200):
        for child in children:
            assert child.stdin
            child.stdin.write(f"{number}\n")
            child.stdin.flush()
    ids = [line for child in children for line in child.communicate()[0].splitlines()]
    tasks = shell("peek", "-n", "1000", "--json").json_lines
    assert sorted(ids) == sorted(task["task_id"] for task in tasks)
    for name in "ab":
        assert [each["data"] for each in tasks if each["headers"] == {"by": name}] == list(range(200))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--due tomorrow", "Invalid value for --due: 'tomorrow' is not a time with its time zone"),
        ("--due 2030-01-31T08:00:00", "is not a time with its time zone"),
        ("--header nothing", "Invalid value for --header: 'nothing' is not NAME=VALUE"),
        ("--max-attempts many", "'unlimited'"),
        ("--max-attempts 0", "use a whole number, 1 or more, or 'unlimited'"),
        ("--priority high", "'--priority'"),
    ],
)
def test_a_wrong_option_is_a_usage_error_and_creates_nothing(shell: Shell, arguments: str, said: str) -> None:
    assert said in shell("put", "1", *arguments.split(), code=2).err
    assert not shell.store.exists()


def test_text_without_quotes_is_refused_with_how_to_write_it(shell: Shell) -> None:
    assert """as in put '"hello"'""" in shell("put", "hello", code=4).err


def test_an_id_is_for_one_task(shell: Shell) -> None:
    assert "an id names one task" in shell("put", "--id", "it", stdin="1\n", code=2).err


def test_an_id_that_nobody_reads_is_told_with_what_became_of_the_task(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = shell.start("put", "1", "--id", "it", stdout=writer)
    os.close(writer)
    _, err = child.communicate()
    assert child.returncode == 5
    assert "nobody reads the output any more; task it is stored" in err
    assert shell.stats()["ready"] == 1


def test_a_full_disk_below_the_output_is_not_taken_for_that_of_the_store(shell: Shell) -> None:
    with open("/dev/full", "w") as full_disk:
        child = shell.start("put", stdin=subprocess.PIPE, stdout=full_disk)
        _, err = child.communicate("1\n2\n3\n")
    assert child.returncode == 5
    assert "the output cannot be written: No space left on device; the lines up to 3 were put" in err
    assert shell.stats()["ready"] == 3
    with open("/dev/full", "w") as full_disk:
        child = shell.start("stats", stdout=full_disk)
        _, err = child.communicate()
    assert child.returncode == 1
    assert "the output cannot be written: No space left on device" in err


def test_a_pipe_from_put_to_get_works(shell: Shell) -> None:
    line = "printf '1\\n2\\n' | $D put --quiet && $D get -n 9 | tac"
    done = subprocess.run(
        ["sh", "-c", line.replace("$D", " ".join(commands.command()))],
        cwd=shell.directory,
        env=shell.env,
        capture_output=True,
        text=True,
    )
    assert [json.loads(each) for each in done.stdout.splitlines()] == [2, 1]
