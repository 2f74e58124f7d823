"""The commands of the shell on a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import psycopg
import pytest

from distqueue import Queue
from distqueue.urls import parse_url
from tests.cli.conftest import Shell
from tests.cli.screen import Terminal
from tests.cli.test_move_killed import serve

pytestmark = pytest.mark.slow


@pytest.fixture
def shell(tmp_path: Path, url: str) -> Iterator[Shell]:
    """A shell with a PostgreSQL store in DISTQUEUE_URL."""
    shell = Shell(tmp_path)
    shell.env["DISTQUEUE_URL"] = url
    yield shell
    shell.close()


def test_a_task_goes_through_the_shell(shell: Shell, url: str) -> None:
    (task_id,) = shell("put", '{"n": 1}', "-q", "emails").lines
    assert shell("peek", "-q", "emails", "--json").json["task_id"] == task_id
    shown = shell("stats", "--json").json
    assert (shown["queues"][0]["queue"], shown["queues"][0]["ready"]) == ("emails", 1)
    assert shell("get", "-q", "emails").json == {"n": 1}


def test_the_sql_of_the_tables_is_printed(shell: Shell, url: str) -> None:
    assert shell("migrate", "--sql").out.endswith(", there is nothing to do\n")
    whole = shell("migrate", "--sql", "--from", "0")
    assert "CREATE TABLE task" in whole.out
    assert whole.err == ""
    nowhere = shell("migrate", "--sql", "-u", "postgresql://127.0.0.1:1/app?connect_timeout=0.1")
    assert "CREATE TABLE task" in nowhere.out
    assert "this makes all tables. If there are some, name their version with --from" in nowhere.err
    assert "--sql" in shell("migrate", "--from", "0", code=2).err


def test_no_password_is_shown(shell: Shell, url: str) -> None:
    place = parse_url(url)
    nowhere = msgspec.structs.replace(place, port=1, query={"connect_timeout": "0.1"}).unredacted()
    assert place.password
    for done in (
        shell("config"),
        shell("config", "--json"),
        shell("stats"),
        shell("stats", "-u", nowhere, code=6),
        shell("stats", "-u", url.replace("schema", "shema"), code=1),
    ):
        assert place.password not in done.out + done.err


def test_a_move_names_the_schema(shell: Shell, url: str, new_postgres: Callable[[], str]) -> None:
    other = new_postgres()
    with Queue(url, name="emails") as queue:
        queue.put_many([1, 2, 3])
    schema = other.rpartition("schema=")[2]
    assert shell("move", url, other).err.rstrip().endswith(f"schema={schema}")
    assert f"schema={schema}; use that URL" in shell("put", "4", code=4).err
    assert shell("get", "-n", "9", "-u", other, "-q", "emails").lines == ["1", "2", "3"]
    assert "cannot move to itself" in shell("move", f"{url}&lock_timeout=3", url, code=4).err
    assert "the same store" in shell("move", url.replace("postgresql:", "postgres:"), url, code=4).err


def test_an_export_is_imported_as_it_was(shell: Shell, url: str, new_postgres: Callable[[], str]) -> None:
    other = new_postgres()
    with Queue(url, name="emails") as queue:
        queue.put_many([1, 2, 3], group="g", headers={"a": "ü"})
        delivery = queue.get(timeout=0)
        assert delivery is not None
        delivery.reject("no\0pe")
    exported = shell("export").out
    shell("import", "-u", other, stdin=exported)
    assert shell("export", "-u", other).out == exported


def test_a_benchmark_leaves_one_empty_queue(shell: Shell, url: str) -> None:
    shell("bench", "-u", url, "-u", "memory://", "--seconds", "0.1", "--batch", "10")
    ((name, ready),) = [(each["queue"], each["ready"]) for each in shell("stats", "--json").json["queues"]]
    assert name.startswith("bench-")
    assert ready == 0


def test_the_demo_loses_nothing(shell: Shell, url: str) -> None:
    done = shell("demo", "-u", url, "--publishers", "2", "--consumers", "2", "--tasks", "40")
    assert "lost  0" in done.out


def test_a_broker_process_in_front_of_it(shell: Shell, url: str, other: psycopg.Connection) -> None:
    socket = f"broker:///{shell.directory}/socket"
    with ExitStack() as stack:
        serve(shell, url, stack, "--socket", f"{shell.directory}/socket")
        served, direct = stack.enter_context(Queue(socket)), stack.enter_context(Queue(url))
        served.put("through it")
        direct.put("beside it", connection=other)
        other.commit()
        assert [each.data for each in served.get_many(9, timeout=0)] == ["through it", "beside it"]


def test_it_is_watched(shell: Shell, url: str) -> None:
    with Queue(url, name="emails") as queue:
        queue.put_many([1, 2, 3])
    terminal = Terminal(shell)
    child = terminal.start("top", "--interval", "0.1")
    terminal.wait_for("emails")
    assert "***" in terminal.text
    terminal.type("q")
    assert terminal.wait_end(child) == 0
    terminal.close()
