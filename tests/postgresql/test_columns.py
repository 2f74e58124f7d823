"""Columns that are encoded whole arrive as what they hold."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from distqueue_backends.postgresql.columns import Column, encoders, take_columns

UUIDS = [f"0192ab34-7aaa-7aaa-aaaa-{number:012d}" for number in range(1000)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", []),
        ("text", UUIDS),
        ("text", ["", "a", "ä€", "long" * 1000]),
        ("text", ["ä", "ab"]),  # as many characters as bytes of another one
        ("text", [None, "a", None]),
        ("bytea", [b"\0\1", b"", b"x" * 70_000]),
        ("bytea", [None, b"\xff"]),
        ("int2", [0, 31, -1]),
        ("int8", [1] * 500),
        ("int8", [2**63 - 1, -(2**63), None]),
        ("float8", [0.1, 1e300, -0.5]),
        ("float8", [None, 300.0]),
        ("float8", [None]),
    ],
)
def test_a_column_arrives_whole(postgres_url: str, kind: str, values: list[Any]) -> None:
    statement = f"SELECT %s::text, %b::{kind}[], %b::int8"
    ((position, encode),) = encoders(statement)
    assert position == 1
    with psycopg.connect(postgres_url) as connection:
        take_columns(connection)
        cursor = connection.execute(statement, ("first", Column(encode(values)), 3), binary=True)
        assert cursor.fetchone() == ("first", values, 3)


@pytest.mark.parametrize(("kind", "value"), [("int8", 2**63), ("int2", 40_000)])
def test_a_number_that_is_too_large(kind: str, value: int) -> None:
    ((_, encode),) = encoders(f"%b::{kind}[]")
    for values in ([value], [value, 1], [value, None]):
        with pytest.raises(OverflowError):
            encode(values)
