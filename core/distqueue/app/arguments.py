"""The arguments of a handler as JSON: checked when it is enqueued, made Python values again in the worker."""

from __future__ import annotations

import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, get_type_hints

import msgspec

from distqueue.errors import ConfigError, InvalidTask

_ABSENT: Final = object()
"""Stands for an argument that was not given: the handler's own default holds when it runs."""


class Arguments:
    """What a function takes, and how that becomes JSON and back.

    What msgspec reads and writes will do as types: numbers, text, ``bytes``, lists, dicts, dataclasses,
    enums, datetimes, UUIDs, decimals, ``msgspec.Struct`` and the like; and models of pydantic.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._name = function.__name__
        self._signature = inspect.signature(function)
        self._function = function

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return arguments by name, as JSON values.

        Raises:
            InvalidTask: they are not what the function takes, or cannot be written as JSON.
        """
        try:
            given = self._signature.bind(*args, **kwargs).arguments
            plain: dict[str, Any] = msgspec.to_builtins(given, str_keys=True, enc_hook=_plain)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidTask(f"{self._name}: {error}") from None
        try:
            msgspec.convert(plain, self._decoder.type, str_keys=True, dec_hook=_rich)
        except msgspec.ValidationError as error:
            raise InvalidTask(f"{self._name}: {error}") from None
        return plain

    def decode(self, raw: bytes | msgspec.Raw) -> inspect.BoundArguments:
        """Return arguments as the function takes them.

        Raises:
            InvalidTask: they are not what the function takes (any longer).
        """
        try:
            checked = self._decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise InvalidTask(f"{self._name}: {error}") from None
        named = ((name, getattr(checked, name)) for name in self._signature.parameters)
        given = OrderedDict((name, value) for name, value in named if value is not _ABSENT)
        return inspect.BoundArguments(self._signature, given)

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[msgspec.Struct]:
        """Reads a struct with a field for each parameter; made late, as its types may be defined late."""
        try:
            hints = get_type_hints(self._function, include_extras=True)
            fields = [_field(one, hints) for one in self._signature.parameters.values()]
            struct = msgspec.defstruct(self._name, fields, kw_only=True, forbid_unknown_fields=True)
            return msgspec.json.Decoder(struct, dec_hook=_rich)
        except (TypeError, NameError) as error:
            raise ConfigError(
                f"the parameters of {self._name} have types that cannot be read from JSON: {error}"
            ) from error


def _field(parameter: inspect.Parameter, hints: dict[str, Any]) -> tuple[str, Any, Any]:
    kind: Any = hints.get(parameter.name, Any)
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL:
            return parameter.name, tuple[kind, ...], ()
        case inspect.Parameter.VAR_KEYWORD:
            return parameter.name, dict[str, kind], msgspec.field(default_factory=dict)
    return (
        parameter.name,
        kind,
        msgspec.NODEFAULT if parameter.default is inspect.Parameter.empty else _ABSENT,
    )


def _plain(value: object) -> object:
    """Write what msgspec cannot: models of pydantic."""
    if _is_model(type(value)):
        model: Any = value
        return model.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON; give what names it, such as its id")


def _rich(kind: type[Any], value: Any) -> Any:
    """Read what msgspec cannot."""
    if not _is_model(kind):
        raise TypeError(f"{kind.__name__} cannot be read from JSON; take what names it, such as its id")
    try:
        return kind.model_validate(value)
    except sys.modules["pydantic"].ValidationError as error:  # whose own text shows the payload, also in logs
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        raise ValueError(
            "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in faults)
        ) from None


def _is_model(kind: type[Any]) -> bool:
    pydantic: Any = sys.modules.get("pydantic")  # whoever has a model has imported it
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)
