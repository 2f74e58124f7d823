"""Arguments are checked when a task is enqueued, and are what the signature says when it is run."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pydantic
import pytest

from distqueue import App, ConfigError, InvalidTask
from distqueue.app.arguments import Arguments
from distqueue.payload import encode


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float = 0.0


class Order(msgspec.Struct):
    lines: list[Point]


class Customer(pydantic.BaseModel):
    name: str
    since: date | None = None


def there_and_back(function: Callable[..., Any], *args: Any, **kwargs: Any) -> inspect.BoundArguments:
    arguments = Arguments(function)
    return arguments.decode(encode(arguments.encode(args, kwargs)))


NOW = datetime(2026, 11, 30, 12, 30, 15, 250, tzinfo=UTC)
SOME = uuid4()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 7),
        (float, 1.5),
        (str, "ä\n\0"),
        (bytes, b"\xff\x00"),
        (bool, True),
        (int | None, None),
        (list[Point], [Point(1), Point(2, 0.5)]),
        (dict[int, str], {1: "one"}),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (datetime, NOW),
        (date, NOW.date()),
        (timedelta, timedelta(days=1, seconds=3)),
        (UUID, SOME),
        (Decimal, Decimal("1.10")),
        (Colour, Colour.RED),
        (Point, Point(3, 4.0)),
        (Order, Order([Point(1)])),
        (Customer, Customer(name="Ann", since=date(2020, 1, 2))),
        (list[Customer], [Customer(name="Ann")]),
        (Customer | None, None),
        (Any, {"a": [1, None]}),
    ],
)
def test_a_value_comes_back_as_what_it_was(kind: Any, value: object) -> None:
    def handler(value: object) -> None: ...

    handler.__annotations__["value"] = kind
    bound = there_and_back(handler, value)
    assert bound.args == (value,)
    assert type(bound.args[0]) is type(value)


def test_every_kind_of_parameter() -> None:
    def handler(a: int, /, b: int, *more: int, c: int = 3, **named: int) -> None: ...

    bound = there_and_back(handler, 1, 2, 5, 6, c=4, d=7)
    assert (bound.args, bound.kwargs) == ((1, 2, 5, 6), {"c": 4, "d": 7})
    bound = there_and_back(handler, 1, b=2)
    assert (bound.args, bound.kwargs) == ((1, 2), {})


def test_a_default_is_that_of_the_code_that_runs() -> None:
    def before(size: int = 1) -> None: ...
    def after(size: int = 2) -> int:
        return size

    bound = Arguments(after).decode(encode(Arguments(before).encode((), {})))
    assert after(*bound.args, **bound.kwargs) == 2


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'to'"),
        ((1,), {}, r"Expected `str`, got `int` - at `\$.to`"),
        (("a",), {"cc": "b"}, "unexpected keyword argument 'cc'"),
        (("a", "b"), {}, r"Expected `int`, got `str` - at `\$.times`"),
        (("a", 2**70), {}, "Integer|integer|range|64"),
        ((object(),), {}, "object cannot be written as JSON"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_stored(
    args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    with App("memory://") as app:

        @app.task
        def send(to: str, times: int = 1) -> None: ...

        with pytest.raises(InvalidTask, match=said):
            send.enqueue(*args, **kwargs)
        assert app.queue().stats().ready == 0


def test_an_invalid_model_is_refused() -> None:
    def handler(customer: Customer) -> None: ...

    with pytest.raises(InvalidTask, match="name"):
        Arguments(handler).decode(b'{"customer": {}}')
    with pytest.raises(InvalidTask, match="since") as caught:
        Arguments(handler).decode(b'{"customer": {"name": "Ann", "since": "a secret"}}')
    assert "secret" not in str(caught.value)


def test_what_no_json_can_be_made_of_is_named() -> None:
    class Engine: ...

    def handler(engine: Engine) -> None: ...

    handler.__annotations__["engine"] = Engine
    with pytest.raises(InvalidTask, match="Engine cannot be written as JSON; give what names it"):
        Arguments(handler).encode((Engine(),), {})
    with pytest.raises(InvalidTask, match="Engine cannot be read from JSON"):
        Arguments(handler).decode(b'{"engine": 1}')


def test_a_name_that_means_nothing_is_an_error_of_the_app() -> None:
    def handler(value: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(ConfigError, match=r"the parameters of handler .* 'Missing' is not defined"):
        Arguments(handler).encode((1,), {})
