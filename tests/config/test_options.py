"""Options by name become typed structs, or an error that says what to write."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from distqueue.errors import ConfigError
from distqueue.options import convert_options


class Mode(StrEnum):
    FAST = "fast"
    SAFE = "safe"


class Inner(msgspec.Struct, frozen=True):
    first: float = 1.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    shards: Annotated[int, Meta(ge=1, le=256)] = 4
    lock_timeout: float = 10.0
    window: Annotated[float, Meta(gt=0)] | None = 300.0
    fsync: bool = True
    driver: Literal["sqlite3", "pysqlite3"] = "sqlite3"
    mode: Mode = Mode.SAFE
    label: str = ""
    token: int = 0
    hosts: list[str] = []
    inner: Inner = Inner()


def convert(**given: object) -> Options:
    return convert_options(Options, given, owner="json")


def test_what_is_not_given_keeps_its_default() -> None:
    assert convert() == Options()


def test_text_becomes_the_type_of_its_field() -> None:
    given = {"shards": "8", "lock_timeout": "2.5", "window": "null", "fsync": "false", "mode": "fast"}
    assert convert(**given) == Options(shards=8, lock_timeout=2.5, window=None, fsync=False, mode=Mode.FAST)
    assert convert(label="8").label == "8"


def test_values_are_taken_as_they_are() -> None:
    assert convert(shards=8, lock_timeout=3, fsync=False) == Options(shards=8, lock_timeout=3.0, fsync=False)


def test_a_timedelta_stands_for_its_seconds() -> None:
    assert convert(lock_timeout=timedelta(minutes=2)).lock_timeout == 120.0
    assert convert(window=timedelta(milliseconds=500)).window == 0.5


def test_a_table_becomes_a_struct_within() -> None:
    assert convert(inner={"first": 3}).inner == Inner(first=3.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shards": "many"}, "json: shards is 'many'; use a whole number, at least 1, at most 256"),
        ({"shards": 0}, "json: shards is 0; use a whole number, at least 1, at most 256"),
        ({"shards": True}, "json: shards is True; use a whole number, at least 1, at most 256"),
        (
            {"shards": timedelta(seconds=1)},
            "json: shards is datetime.timedelta(seconds=1); use a whole number, ",
        ),
        ({"lock_timeout": "nan"}, "json: lock_timeout is 'nan'; use a number"),
        ({"window": -1}, "json: window is -1; use a number, over 0, or nothing (null)"),
        ({"fsync": "maybe"}, "json: fsync is 'maybe'; use true or false"),
        ({"driver": "odbc"}, "json: driver is 'odbc'; use one of 'pysqlite3', 'sqlite3'"),
        ({"mode": "odd"}, "json: mode is 'odd'; use one of 'fast', 'safe'"),
        ({"label": 5}, "json: label is 5; use text"),
        ({"token": "hunter2"}, "json: token is ***; use a whole number"),
        ({"hosts": [1]}, "json: hosts is [1]; use a list of which each is text"),
        ({"inner": 1}, "json: inner is 1; use a table"),
        ({"inner": {"first": "x"}}, "json: inner.first is 'x'; use a number"),
        (
            {"inner": {"fist": 1}},
            "json: there is no option 'inner.fist'; did you mean 'first'? there are: first",
        ),
        ({"qqq": 1}, "json: there is no option 'qqq'; there are: driver, fsync, hosts, inner, "),
    ],
)
def test_a_wrong_option_is_named_with_its_value_and_what_to_use(
    given: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(**given)
    assert str(caught.value).startswith(message)


def test_a_file_with_types_of_its_own_is_taken_at_its_word() -> None:
    with pytest.raises(ConfigError, match="json: lock_timeout is '5'; use a number"):
        convert_options(Options, {"lock_timeout": "5"}, owner="json", lax=False)


def test_a_backend_without_options_says_so() -> None:
    class Nothing(msgspec.Struct):
        pass

    with pytest.raises(ConfigError, match="memory: there is no option 'x'; there are none"):
        convert_options(Nothing, {"x": 1}, owner="memory")


def test_a_check_of_the_struct_itself_is_reported() -> None:
    class Pair(msgspec.Struct):
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is over high")

    with pytest.raises(ConfigError, match="acme: low is over high"):
        convert_options(Pair, {"low": "5"}, owner="acme")
