"""``fsck``, ``backends`` and ``config``; and where a command finds its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Shell

pytestmark = pytest.mark.slow


@pytest.fixture
def damaged(full: Shell) -> Shell:
    """A shell whose store has a flipped bit in its first commit, with another one behind it."""
    full("put", "4")
    raw = bytearray(full.store.read_bytes())
    raw[raw.index(b"\n") + 20] ^= 1
    full.store.write_bytes(raw)
    return full


def test_a_sound_store_is_said_to_be_so(full: Shell) -> None:
    assert full("fsck").out == f"json:///{full.store} is sound\n"
    assert full("fsck", "--json").json == {"is_sound": True, "findings": [], "kept_aside": None}


def test_damage_is_found_and_repaired(damaged: Shell) -> None:
    found = damaged("fsck", code=1)
    assert found.lines[0].startswith("byte ")
    assert found.lines[-1].endswith(" is damaged")
    assert "--repair" in found.err
    assert damaged("fsck", "--json", code=1).json["is_sound"] is False
    repaired = damaged("fsck", "--repair")
    assert f"json:///{damaged.store} is repaired" in repaired.lines
    kept = repaired.lines[-1].removeprefix("what was bad is kept in ")
    assert Path(kept).exists()
    damaged("fsck")
    damaged("stats")


def test_a_store_without_a_file_has_nothing_to_examine(shell: Shell) -> None:
    shell("fsck", "-u", "memory://", code=4)


def test_fsck_of_nothing_creates_nothing(shell: Shell) -> None:
    assert "no store at" in shell("fsck", code=1).err
    assert not shell.store.exists()


def test_backends_are_listed_with_what_they_are(shell: Shell) -> None:
    rows = {line.split("\t")[0]: line.split("\t") for line in shell("backends").lines}
    assert list(rows) == ["name", "json", "memory", "postgres", "postgresql", "sharded-json", "sqlite"]
    assert rows["json"][1:3] == ["ok", "distqueue"]
    first = shell("backends", "--json").json_lines[0]
    assert first["scheme"] == "json"
    assert first["capabilities"]["durability"] == "fsync"


def test_a_broken_backend_is_listed_and_found_by_the_check(shell: Shell) -> None:
    shell("backends", "--check")
    info = shell.directory / "site" / "acme-2.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.0\n")
    info.joinpath("entry_points.txt").write_text("[distqueue.backends]\nacme = nowhere_to_be_found\n")
    path = f"{info.parent}:{shell.env.get('PYTHONPATH', '')}"
    listed = shell("backends", PYTHONPATH=path)
    assert "acme\tbroken\tacme\t2.0\tit cannot be imported" in listed.out
    shell("backends", "--check", code=1, PYTHONPATH=path)
    shell("backends", "--check", PYTHONPATH=path, DISTQUEUE_DISABLE_PLUGINS="acme")


def test_the_configuration_is_shown_with_where_it_comes_from(shell: Shell) -> None:
    file = shell.directory / "distqueue.toml"
    file.write_text('url = "json:///other.json"\n[queues.emails]\nlease = 90\n')
    lines = shell("config", "-q", "emails").lines
    assert lines[0] == "key\tvalue\tfrom"
    assert f"url\tjson:///{shell.store}\tDISTQUEUE_URL" in lines
    assert f"lease\t90.0\t{file} [queues.emails]" in lines
    values = {each["key"]: each for each in shell("config", "--json").json_lines}
    assert values["lease"] == {"key": "lease", "value": 30.0, "source": "built-in default"}


def test_secrets_are_never_shown(shell: Shell) -> None:
    url = "acme://me:hunter2@host/name?token=hunter2"
    for command in (["config", "-u", url], ["config", "--json", "-u", url]):
        assert "hunter2" not in shell(*command).out
    for command in (["stats", "-u", url], ["put", "1", "-u", url], ["stats", "-u", "json:/x:hunter2@y"]):
        done = shell(*command, code=1, DISTQUEUE_DEBUG="1")
        assert "hunter2" not in done.out + done.err


def test_an_argument_goes_before_the_environment_and_that_before_the_file(shell: Shell) -> None:
    shell.directory.joinpath("distqueue.toml").write_text('url = "json:///file.json"\n')
    shell("put", "1", "-u", "json:///argument.json")
    shell("put", "1")
    shell("put", "1", DISTQUEUE_URL="")
    assert {path.name for path in shell.directory.glob("*.json")} == {
        "argument.json",
        "Queue.json",
        "file.json",
    }


VERBS = (
    "get",
    "ack 1.x.y",
    "retry 1.x.y",
    "release 1.x.y",
    "reject 1.x.y",
    "show it",
    "stats",
    "peek",
    "dead",
    "redrive",
    "cancel it",
    "purge --yes",
    "pause",
    "resume",
    "export",
    "fsck",
)


@pytest.mark.parametrize("line", VERBS)
def test_only_put_and_import_create_a_store(shell: Shell, line: str) -> None:
    done = shell(*line.split(), code=1)
    assert done.out == ""
    assert done.err == f"distqueue: no store at {shell.store}\n"
    assert list(shell.directory.iterdir()) == []
