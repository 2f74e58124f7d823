"""``export`` and ``import``; what they do with a store is tested in ``tests/transfer``."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests import commands

from .conftest import Shell

pytestmark = pytest.mark.slow

COPY = "json:///Copy.json"


def test_a_store_is_copied_through_a_pipe(full: Shell) -> None:
    command = " ".join(commands.command())
    line = f"{command} export | {command} import -u {COPY}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=full.directory, env=full.env, capture_output=True, text=True
    )
    assert sorted(done.stderr.splitlines()) == [
        f"created {full.directory}/Copy.json",
        "exported 3 tasks and 0 remembered ids",
        "imported 3 tasks and 0 remembered ids; there before: 0; refused: 0",
    ]
    assert full("export", "-u", COPY).out == full("export").out


def test_a_file_is_written_and_read(full: Shell) -> None:
    full("get")
    assert full("export", "out.jsonl").out == ""
    assert full("import", "out.jsonl", "-u", COPY).err.endswith(
        "imported 2 tasks and 1 remembered id; there before: 0; refused: 0\n"
    )
    again = full("import", "out.jsonl", "-u", COPY)
    assert again.err == "imported 0 tasks and 0 remembered ids; there before: 3; refused: 0\n"
    assert full("get", "-n", "9", "-u", COPY).out == "2\n3\n"


def test_queues_are_chosen(full: Shell) -> None:
    full.line("put 4 -q one")
    full.line("put 5 -q two")
    lines = full.line("export -q one -q two").json_lines
    assert [line["task"]["data"] for line in lines[1:-1]] == [4, 5]
    full("export", "out")
    full("import", "out", "-u", COPY, "-q", "two")
    assert [each["queue"] for each in full("stats", "--json", "-u", COPY).json["queues"]] == ["two"]


def test_what_is_refused_is_named_with_its_line(full: Shell) -> None:
    full.line("put 4 --unique key")
    full("export", "out")
    full("put", "5", "--unique", "key", "-u", COPY)
    done = full("import", "out", "-u", COPY, code=4)
    assert "distqueue: line 5: unique key 'key' is held by" in done.err
    assert done.err.endswith("imported 3 tasks and 0 remembered ids; there before: 0; refused: 1\n")


def test_a_truncated_export_is_refused_unless_it_is_wanted(full: Shell) -> None:
    out = full("export").out
    cut = out[: out.rindex('{"end"')]
    full.directory.joinpath("cut").write_text(cut)
    assert "--partial" in full("import", "cut", "-u", COPY, code=4).err
    assert not full.directory.joinpath("Copy.json").exists()
    assert "is truncated" in full("import", "-u", COPY, stdin=cut, code=4).err
    partial = full("import", "cut", "--partial", "-u", COPY)
    assert "the export was not whole" in partial.err
    assert partial.err.endswith("imported 0 tasks and 0 remembered ids; there before: 3; refused: 0\n")


def test_what_is_not_an_export_creates_no_store(shell: Shell) -> None:
    shell.directory.joinpath("letter").write_text("Dear A.")
    assert "letter is not an export" in shell("import", "letter", code=1).err
    assert not shell.store.exists()


def test_a_reader_that_leaves_ends_an_export_quietly(shell: Shell) -> None:
    shell("put", "--quiet", stdin="".join(f'"{n}{"x" * 1000}"\n' for n in range(1000)))
    child = shell.start("export")
    assert child.stdout
    assert json.loads(child.stdout.readline()) == {"distqueue_export": 1}
    child.stdout.close()
    assert child.wait() == 1
    assert child.stderr
    assert child.stderr.read() == ""


def test_a_terminated_export_leaves_no_file(shell: Shell) -> None:
    shell("put", "--quiet", stdin="".join(f'"{n}{"x" * 1000}"\n' for n in range(3000)))
    os.mkdir(shell.directory / "out")
    child = shell.start("export", "out/file")
    while child.poll() is None and not os.listdir(shell.directory / "out"):
        os.sched_yield()
    child.send_signal(signal.SIGTERM)
    child.communicate()
    left = os.listdir(shell.directory / "out")
    assert (child.returncode, left) in ((143, []), (0, ["file"]))


def test_a_store_is_exported_while_others_use_it(shell: Shell) -> None:
    shell("put", "--quiet", stdin="".join(f"{n}\n" for n in range(3000)))
    publisher = shell.start("put", "--quiet")
    consumer = shell.start("get", "--follow", stdout=subprocess.DEVNULL)
    export = shell.start("export")
    assert publisher.stdin
    for number in range(3000, 3200):
        publisher.stdin.write(f"{number}\n")
        publisher.stdin.flush()
    out, _ = export.communicate()
    publisher.stdin.close()
    assert publisher.wait() == 0
    consumer.terminate()
    assert consumer.wait() == 0
    lines = [json.loads(line) for line in out.splitlines()]
    exported = [line["task"]["data"] for line in lines if "task" in line]
    assert len(exported) == len(set(exported)) == lines[-1]["end"]["tasks"]
    assert {task["data"] for task in shell("peek", "-n", "9999", "--json").json_lines} >= {2999}
    assert 2999 in exported
