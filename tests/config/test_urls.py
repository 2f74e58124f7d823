"""Store URLs: what their parts are, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distqueue.errors import ConfigError
from distqueue.urls import StoreURL, is_secret, parse_url, redact


def test_three_slashes_are_relative_and_four_absolute() -> None:
    assert parse_url("json:///a/b.json").path == "a/b.json"
    assert parse_url("json:////a/b.json").path == "/a/b.json"
    assert parse_url("json:///../b.json").path == "../b.json"
    assert parse_url("memory://").path == ""


def test_every_part_of_a_server_url_is_taken_apart_and_decoded() -> None:
    assert parse_url("PostgreSQL://jo%40x:p%2Fw%3A@db.example:5433/my%20db?ssl%20mode=a%26b&x=") == StoreURL(
        scheme="postgresql",
        host="db.example",
        port=5433,
        user="jo@x",
        password="p/w:",  # noqa: S106
        path="my db",
        query={"ssl mode": "a&b", "x": ""},
    )


def test_several_servers_each_have_a_port() -> None:
    url = parse_url("postgresql://jo:pw@db1:5433,[::1]:5434,db2/shop")
    assert url.places() == [("db1", 5433), ("[::1]", 5434), ("db2", None)]
    assert (url.user, url.port, url.path) == ("jo", None, "shop")
    assert str(url) == "postgresql://jo:***@db1:5433,[::1]:5434,db2/shop"
    assert parse_url(url.unredacted()) == url
    assert parse_url("postgresql://db1:5433/shop").places() == [("db1", 5433)]
    with pytest.raises(ConfigError, match="99999 is not a port"):
        parse_url("postgresql://db1:5433,db2:99999/shop")


def test_parts_that_are_not_there_are_none_or_empty() -> None:
    assert parse_url("memory://") == StoreURL(scheme="memory")
    assert parse_url("memory://Jobs") == StoreURL(scheme="memory", host="Jobs")
    assert parse_url("redis://user@h/0").password is None
    assert parse_url("redis://user:@h/0").password == ""
    assert parse_url("nats://[::1]:4222").host == "[::1]"


def test_a_plus_sign_stands_for_itself() -> None:
    assert parse_url("json:///a+b.json?x=1+2").query == {"x": "1+2"}
    assert parse_url("json:///a+b.json").path == "a+b.json"


def test_the_password_is_shown_nowhere() -> None:
    url = parse_url("postgresql://jo:hunter2@db/x?sslpassword=hunter2&mode=a")
    shown = "postgresql://jo:***@db/x?sslpassword=***&mode=a"
    assert str(url) == shown
    assert repr(url) == f"StoreURL('{shown}')"
    assert f"{url}" == shown
    assert list(url.__rich_repr__()) == [("url", shown)]
    assert url.unredacted() == "postgresql://jo:hunter2@db/x?sslpassword=hunter2&mode=a"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://jo:hunter2@db:port/x",
        "postgresql://jo:hunter2/@db/x",
        "postgresql://jo:hunter2%zz@db/x",
        "postgresql://jo:hunter2#@db/x",
        "postgresql://jo:hun@hunter2@db/x",
        "postgresql://jo:hunter2@db/x?password=hunter2&a",
        "postgresql://jo:hunter2@db/x?a=1&a=2",
        "postgresql://jo:hunter2@db/x ",
        "postgresql://jo:hunter2@db/%00",
        "postgresql:/jo:hunter2@db/x",
        "jo:hunter2@db/x",
    ],
)
def test_no_error_shows_a_password(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the store URL is empty; write one such as json:///Queue.json"),
        ("Queue.json", "'Queue.json' is not a URL; for a JSON file write json:///Queue.json"),
        ("/srv/Queue.json", "'/srv/Queue.json' is not a URL; for a JSON file write json:////srv/Queue.json"),
        ("jobs.db", "'jobs.db' is not a URL; for a SQLite database write sqlite:///jobs.db"),
        ("json:Queue.json", "'json:Queue.json' is not a URL; write json:///Queue.json"),
        ("json:/srv/Queue.json", "'json:/srv/Queue.json' is not a URL; write json:////srv/Queue.json"),
        (
            "1://x",
            "'1://x' is not a URL; write SCHEME:///PATH or SCHEME://HOST/NAME, such as json:///Queue.json",
        ),
        ("json:///a\0b", "'json:///a\\x00b': it holds a control character; remove it"),
        ("json:///a%00b", "'json:///a%00b': it holds an encoded control character; remove it"),
        ("json:///a\n", "'json:///a\\n': it holds a control character; remove it"),
        (" json:///a", "' json:///a': it begins or ends with white space; remove it"),
        (
            "json:///a#b",
            "'json:///a#b': a store URL has no fragment; write %23 for a # in a name or a password",
        ),
        (
            "json:///100%",
            "'json:///100%': a % in it is not followed by two hexadecimal digits; write %25 for a %",
        ),
        ("json:///%ff", "'json:///%ff': a percent escape in it is not UTF-8 text"),
        ("json:///\udcff", "'json:///\\udcff': it holds bytes that are not UTF-8 text; rename the file"),
        ("redis://h:0/x", "'redis://h:0/x': 0 is not a port; use 1 to 65535"),
        ("redis://h:99999/x", "'redis://h:99999/x': 99999 is not a port; use 1 to 65535"),
        ("json:///a?b", "'json:///a?b': 'b' in the query is not NAME=VALUE"),
        ("json:///a?=1", "'json:///a?=1': '=1' in the query is not NAME=VALUE"),
        ("json:///a?b=1&b=2", "'json:///a?b=1&b=2': the option 'b' is given twice"),
        ("redis://a@b@c", "'redis://a@b@c': write %40 for an @ in a user name or a password"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(text)
    assert str(caught.value) == message


def test_something_that_is_not_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="a store URL is text, not NoneType"):
        parse_url(None)  # type: ignore[arg-type]


def test_a_relative_file_path_is_made_absolute_and_nothing_else_is() -> None:
    def placed(text: str) -> str:
        return str(parse_url(text).relative_to("/etc/app"))

    assert placed("json:///Queue.json") == "json:////etc/app/Queue.json"
    assert placed("json:///../Queue.json?a=1") == "json:////etc/app/../Queue.json?a=1"
    assert placed("json:////srv/Queue.json") == "json:////srv/Queue.json"
    assert placed("memory://") == "memory://"
    assert placed("postgresql:///jobs") == "postgresql:///jobs"
    assert placed("acme://host/name") == "acme://host/name"


def test_a_backend_of_files_gets_the_path_or_an_error_that_shows_the_missing_slash() -> None:
    assert parse_url("json:///Queue.json").file_path() == "Queue.json"
    with pytest.raises(ConfigError) as caught:
        parse_url("json://data/Queue.json").file_path()
    assert str(caught.value) == (
        "json://data/Queue.json: 'data' stands where a host would; write json:///data/Queue.json for a path "
        "relative to the working directory, json:////… for an absolute one"
    )
    with pytest.raises(ConfigError, match="json://: the path is missing; write json:///PATH"):
        parse_url("json://").file_path()


def test_redacting_leaves_other_text_alone() -> None:
    assert redact("json:///Queue.json?lock_timeout=5") == "json:///Queue.json?lock_timeout=5"
    assert redact("redis://u:p@w@h?api_key=abc&x=1") == "redis://u:***@h?api_key=***&x=1"
    assert is_secret("auth_token")
    assert not is_secret("lock_timeout")


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@example(host="[a", port=None, user=None, password=None, path="x", query={})
@given(
    host=st.none() | TEXT,
    port=st.none() | st.integers(1, 65535),
    user=st.none() | TEXT,
    password=st.none() | TEXT,
    path=TEXT,
    query=st.dictionaries(TEXT, TEXT, max_size=3),
)
def test_a_url_written_out_is_read_back_the_same(
    host: str | None,
    port: int | None,
    user: str | None,
    password: str | None,
    path: str,
    query: dict[str, str],
) -> None:
    url = StoreURL(
        scheme="acme",
        host=host,
        port=port,
        user=user,
        password=password if user is not None else None,
        path=path,
        query=query,
    )
    assert parse_url(url.unredacted()) == url
    if password and user and len(password) > 3:
        secret = msgspec.structs.replace(url, host="h", user="u", path="p", query={})
        assert password not in str(secret)


def test_the_name_of_a_store_is_the_same_however_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    name = f"json:///{tmp_path}/Queue.json"
    for text in (
        name,
        "json:///Queue.json",
        "json:///link/./Queue.json?lock_timeout=5",
        "JSON:///Queue.json",
    ):
        assert parse_url(text).name() == name
    assert parse_url("acme://me:secret@host:1/db?token=x").name() == "acme://me:***@host:1/db"
    told = "acme://me:secret@host/db?z=1&password=x&b=2&a=3"
    assert parse_url(told).name(["a", "z"]) == "acme://me:***@host/db?a=3&z=1"
    assert parse_url("memory://one").name() == "memory://one"
