"""Options given by name, as text or as values, made into typed structs, with errors that help.

One place for the options of a backend (URL query, keywords, configuration) and for the tables of
a configuration file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from msgspec import inspect
from msgspec.structs import FieldInfo

from distqueue.errors import ConfigError
from distqueue.urls import HIDDEN, is_secret

RESERVED: Final = frozenset(
    (
        *("create", "name", "observers", "plugins", "url"),
        *("flush_interval", "keep_done", "lease", "max_attempts", "retry"),
    )
)
"""Names that no option of a backend may have: those who open a queue take them for themselves."""


def convert_options[T: msgspec.Struct](
    kind: type[T], given: Mapping[str, object], *, owner: str, at: str = "", lax: bool = True
) -> T:
    """Return the struct ``kind`` made of the options in ``given``; the others keep their defaults.

    Text is converted to the type of its field if ``lax``. Where a number of seconds is expected, a
    ``timedelta`` will do. ``owner`` says in messages whose options they are, ``at`` in which table.

    Raises:
        ConfigError: there is no such option, or a value is not what it has to be.

    >>> class Options(msgspec.Struct):
    ...     lock_timeout: float = 10.0
    >>> convert_options(Options, {"lock_timeout": "2.5"}, owner="json")
    Options(lock_timeout=2.5)
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        dotted = f"{at}.{name}" if at else name
        if name not in fields:
            raise ConfigError(f"{owner}: there is no option {dotted!r}; {choices(name, fields)}")
        values[fields[name].name] = _convert(fields[name], value, owner, dotted, lax)
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:  # the struct's own __post_init__
        raise ConfigError(f"{owner}: {error}") from None


def choices(name: str, existing: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest one, and all there are."""
    names = sorted(existing)
    near = nearest(name, names)
    guess = f"did you mean {near!r}? " if near else ""
    return f"{guess}there are: {', '.join(names)}" if names else "there are none"


def nearest(name: str, existing: Iterable[str]) -> str | None:
    """Return the name most like ``name``, or ``None`` if none is like it."""
    import difflib  # which takes 5 ms, and only a mistake needs

    return next(iter(difflib.get_close_matches(name, list(existing), n=1)), None)


def _convert(field: FieldInfo, value: object, owner: str, dotted: str, lax: bool) -> Any:
    kind = inspect.type_info(field.type)
    if isinstance(value, Mapping) and (nested := _struct_of(kind)):
        return convert_options(nested, value, owner=owner, at=dotted, lax=lax)
    plain = value
    if isinstance(value, timedelta) and _has(kind, inspect.FloatType):
        plain = value.total_seconds()
    try:
        result = msgspec.convert(plain, field.type, strict=not lax)
    except msgspec.ValidationError:
        result = math.nan
    if isinstance(result, float) and math.isnan(result):
        shown = HIDDEN if is_secret(dotted) else f"{value!r:.80}"
        raise ConfigError(f"{owner}: {dotted} is {shown}; use {describe(kind)}")
    return result


def describe(kind: inspect.Type) -> str:
    """Return in words what values a type has: ``a number, at least 0, or nothing``."""
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.StrType():
            return "text"
        case inspect.NoneType():
            return "nothing (null)"
        case inspect.LiteralType():
            return _one_of(kind.values)
        case inspect.EnumType():
            return _one_of([member.value for member in kind.cls])
        case inspect.ListType() | inspect.VarTupleType():
            return f"a list of which each is {describe(kind.item_type)}"
        case inspect.DictType() | inspect.StructType():
            return "a table"
        case inspect.UnionType():
            return ", or ".join(describe(one) for one in kind.types)
        case inspect.CustomType():
            return f"a {kind.cls.__name__}"
        case _:
            return f"a {type(kind).__name__.removesuffix('Type').lower()}"


def _one_of(values: Sequence[object]) -> str:
    return ("one of " if len(values) > 1 else "") + ", ".join(map(repr, values))


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    words = {"ge": "at least", "gt": "over", "le": "at most", "lt": "under"}
    given = {name: getattr(kind, name) for name in words}
    return "".join(f", {words[name]} {bound:.12g}" for name, bound in given.items() if bound is not None)


def _has(kind: inspect.Type, wanted: type[inspect.Type]) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(isinstance(one, wanted) for one in kind.types)
    return isinstance(kind, wanted)


def _struct_of(kind: inspect.Type) -> type[msgspec.Struct] | None:
    for one in kind.types if isinstance(kind, inspect.UnionType) else (kind,):
        if isinstance(one, inspect.StructType):
            return one.cls
    return None
