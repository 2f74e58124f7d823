"""What is in force, and where it comes from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from distqueue.config import explain, find_settings
from distqueue.errors import ConfigError
from distqueue.retry import Backoff
from distqueue.urls import parse_url

FULL = """
url = "json:///Queue.json"
observers = ["metrics"]

[store]
lock_timeout = 20

[defaults]
lease = 60
max_attempts = 3
retry = { first = 5, jitter = 0 }

[queues.emails]
lease = 10.5
max_attempts = "unlimited"
keep_done = 3600
flush_interval = 0.5
retry.factor = 3
"""


def write(project: Path, text: str) -> Path:
    path = project / "distqueue.toml"
    path.write_text(text)
    return path


def error_of(queue: str = "default", url: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        find_settings(url, queue)
    return str(caught.value)


def in_force(queue: str = "default", url: str | None = None) -> dict[str, tuple[object, str]]:
    return {one.key: (one.value, one.source) for one in explain(url, queue)}


def test_an_argument_goes_before_the_environment_and_that_before_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(project, 'url = "memory://from-file"')
    assert find_settings().url.host == "from-file"
    assert find_settings().source == str(path)
    monkeypatch.setenv("DISTQUEUE_URL", "memory://from-environment")
    assert find_settings().url.host == "from-environment"
    assert find_settings().source == "DISTQUEUE_URL"
    settings = find_settings("memory://from-argument")
    assert (settings.url.host, settings.source) == ("from-argument", "argument")
    assert find_settings(parse_url("memory://parsed")).url.host == "parsed"


def test_an_empty_environment_variable_is_as_good_as_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, 'url = "memory://from-file"')
    monkeypatch.setenv("DISTQUEUE_URL", "")
    assert find_settings().url.host == "from-file"


def test_the_nearest_file_upward_counts(project: Path) -> None:
    write(project, 'url = "memory://far"')
    assert find_settings().url.host == "far"
    write(project / "deep", 'url = "memory://near"')
    assert find_settings().url.host == "near"


def test_a_directory_with_the_name_of_the_file_is_passed_over(project: Path) -> None:
    (project / "deep" / "distqueue.toml").mkdir()
    write(project, 'url = "memory://far"')
    assert find_settings().url.host == "far"


def test_without_any_url_all_three_ways_are_said(project: Path) -> None:
    assert error_of() == (
        "no store is named; give its URL as an argument (-u of the commands), such as json:///Queue.json, "
        'or set DISTQUEUE_URL, or write url = "json:///Queue.json" in a distqueue.toml here '
        "or in a directory above"
    )
    path = write(project, "[defaults]\nlease = 5\n")
    assert error_of().endswith(f'write url = "json:///Queue.json" in {path} (it has no url yet)')


def test_a_relative_url_in_a_file_is_relative_to_that_file(project: Path) -> None:
    write(project, 'url = "json:///data/Queue.json"')
    assert find_settings().url.path == f"{project}/data/Queue.json"


def test_a_relative_url_from_elsewhere_is_relative_to_the_working_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, 'url = "json:///data/Queue.json"')
    assert find_settings("json:///Queue.json").url.path == f"{project}/deep/Queue.json"
    monkeypatch.setenv("DISTQUEUE_URL", "json:///Other.json")
    assert find_settings().url.path == f"{project}/deep/Other.json"


def test_the_url_of_a_server_is_left_alone(project: Path) -> None:
    write(project, 'url = "postgresql:///jobs"')
    assert find_settings().url == parse_url("postgresql:///jobs")


def test_without_a_file_the_built_in_defaults_hold(project: Path) -> None:
    settings = find_settings("memory://")
    assert (settings.lease, settings.max_attempts, settings.keep_done) == (30.0, 5, 0.0)
    assert (settings.flush_interval, settings.retry) == (2.0, Backoff())
    assert (settings.options, settings.observers) == ({}, ())


def test_a_queue_has_its_own_values_then_the_defaults_of_the_file_then_the_built_in_ones(
    project: Path,
) -> None:
    write(project, FULL)
    emails = find_settings(queue="emails")
    assert (emails.lease, emails.max_attempts, emails.keep_done) == (10.5, None, 3600.0)
    assert emails.flush_interval == 0.5
    assert emails.retry == Backoff(first=5.0, factor=3.0, jitter=0.0)
    other = find_settings(queue="other")
    assert (other.lease, other.max_attempts, other.keep_done) == (60.0, 3, 0.0)
    assert other.retry == Backoff(first=5.0, jitter=0.0)
    assert other.observers == ("metrics",)


def test_store_options_belong_to_the_url_of_the_file(project: Path) -> None:
    write(project, FULL)
    assert find_settings().options == {"lock_timeout": 20}
    assert find_settings("memory://").options == {}
    assert in_force()["store.lock_timeout"] == (20, f"{project}/distqueue.toml [store]")
    value, source = in_force(url="memory://")["store.lock_timeout"]
    assert (value, source) == (20, "not in force, as the url is from: argument")


def test_observers_of_the_environment_replace_those_of_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, FULL)
    monkeypatch.setenv("DISTQUEUE_OBSERVERS", "a, b")
    assert find_settings().observers == ("a", "b")
    assert in_force()["observers"] == ("a, b", "DISTQUEUE_OBSERVERS")
    monkeypatch.setenv("DISTQUEUE_OBSERVERS", "")
    assert find_settings().observers == ()


def test_every_key_is_explained_with_its_source(project: Path) -> None:
    path = write(project, FULL)
    assert in_force("emails") == {
        "url": (f"json:///{project}/Queue.json", str(path)),
        "observers": ("metrics", str(path)),
        "store.lock_timeout": (20, f"{path} [store]"),
        "lease": (10.5, f"{path} [queues.emails]"),
        "max_attempts": ("unlimited", f"{path} [queues.emails]"),
        "keep_done": (3600.0, f"{path} [queues.emails]"),
        "flush_interval": (0.5, f"{path} [queues.emails]"),
        "retry.first": (5.0, f"{path} [defaults]"),
        "retry.factor": (3.0, f"{path} [queues.emails]"),
        "retry.cap": (3600.0, "built-in default"),
        "retry.jitter": (0.0, f"{path} [defaults]"),
    }


def test_explaining_works_without_a_url_and_hides_secrets(project: Path) -> None:
    assert in_force()["url"] == (None, "not set")
    write(project, 'url = "redis://u:hunter2@h"\n[store]\nauth_token = "hunter2"\n')
    assert "hunter2" not in str(explain())
    assert in_force()["url"][0] == "redis://u:***@h"
    assert in_force()["store.auth_token"][0] == "***"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'ulr = "x"',
            "there is no option 'ulr'; did you mean 'url'? there are: defaults, observers, queues, ",
        ),
        ("[defaults]\nleese = 5", "there is no option 'defaults.leese'; did you mean 'lease'? there are: "),
        ("[queues.a]\nretry.frist = 5", "there is no option 'queues.a.retry.frist'; did you mean 'first'? "),
        ("[defaults]\nlease = '5'", "defaults.lease is '5'; use a number, over 0, at most 3153600000"),
        ("[defaults]\nlease = 0", "defaults.lease is 0; use a number, over 0, at most 3153600000"),
        ("[defaults]\nlease = nan", "defaults.lease is nan; use a number, over 0, at most 3153600000"),
        (
            "[queues.a]\nkeep_done = inf",
            "queues.a.keep_done is inf; use a number, at least 0, at most 3153600000",
        ),
        (
            "[queues.a]\nmax_attempts = 0",
            "queues.a.max_attempts is 0; use a whole number, at least 1, or 'unlimited'",
        ),
        (
            "[defaults]\nretry = {jitter = 2}",
            "defaults.retry.jitter is 2; use a number, at least 0, at most 1",
        ),
        ("defaults = 5", "defaults is 5; use a table"),
        ("observers = 'a'", "observers is 'a'; use a list of which each is text"),
        ("[store]\nhosts = [1]", "store is {'hosts': [1]}; use a table"),
        ("[store]\nlease = 5", "'lease' in [store] is not an option of a backend; remove it from there"),
        (
            "[store]\ncreate = false",
            "'create' in [store] is not an option of a backend; remove it from there",
        ),
        ("[queues]\na = 5", "queues is {'a': 5}; use a table"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(project: Path, text: str, message: str) -> None:
    path = write(project, text)
    assert error_of(url="memory://").startswith(f"{path}: {message}")


def test_a_section_for_a_queue_that_cannot_be_is_an_error(project: Path) -> None:
    path = write(project, '[queues."No Such"]\nlease = 5')
    assert error_of(url="memory://").startswith(f"{path}: [queues.No Such]: 'No Such' is not a queue name")


def test_a_file_that_is_not_toml_is_named(project: Path) -> None:
    path = write(project, "url = ")
    assert error_of().startswith(f"{path} is not valid TOML: Invalid value (at ")
    path.write_bytes(b"\xff\xfe")
    assert error_of().startswith(f"{path} is not valid TOML: 'utf-8' codec can't decode")


def test_a_wrong_url_names_where_it_stands(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(project, 'url = "Queue.json"')
    wrong = "'Queue.json' is not a URL; for a JSON file write json:///Queue.json"
    assert error_of() == f"{path}: {wrong}"
    monkeypatch.setenv("DISTQUEUE_URL", "Queue.json")
    assert error_of() == f"DISTQUEUE_URL: {wrong}"
    assert error_of(url="Queue.json") == wrong


def test_a_working_directory_that_is_gone_has_no_file(project: Path) -> None:
    (project / "deep").rmdir()
    assert find_settings("memory://").source == "argument"


AS_NOBODY = """
import os, sys
from distqueue.config_file import find_file, read_file
from distqueue.errors import ConfigError

os.chdir(sys.argv[1])
os.chmod("..", 0)
if os.geteuid() == 0:
    os.seteuid(65534)
found = find_file()
print(found)
if os.geteuid() == 65534:
    os.seteuid(0)
os.chmod(found, 0)
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    read_file(found)
except ConfigError as error:
    print(error)
"""


def test_a_directory_that_may_not_be_read_is_passed_over_and_a_file_is_an_error() -> None:
    with TemporaryDirectory() as open_to_all:
        top = Path(open_to_all).resolve()
        top.chmod(0o755)
        below = top / "closed" / "below"
        below.mkdir(parents=True)
        path = write(top, "url = 'memory://'")
        write(top / "closed", "url = 'memory://'")
        done = subprocess.run([sys.executable, "-c", AS_NOBODY, below], capture_output=True, text=True)
        below.parent.chmod(0o755)
    assert done.stdout.splitlines() == [str(path), f"{path} cannot be read: Permission denied"], done.stderr
