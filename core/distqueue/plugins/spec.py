"""What a plugin says about a backend, so that it can be listed and checked without being loaded."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from distqueue.capabilities import Capabilities
from distqueue.options import RESERVED

CONTRACT: Final = "1"
"""The version of the contract between distqueue and backends that this distqueue keeps."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_LOAD = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class BackendSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One backend, as its plugin describes it.

    ``schemes`` are the URL schemes it serves; each needs an entry point of the same name.
    ``load`` is ``"module:Class"``, imported when a store is opened and not before. ``contract`` is
    the :data:`CONTRACT` it was written for. ``options`` is a struct with a typed field and a
    default for every URL query parameter. ``install_hint`` is the pip line that brings the client
    library, if it needs one. ``harness`` is the ``"module:Class"`` by which the conformance suite does
    more to the store than open it (:class:`distqueue.conformance.harness.Harness`). ``place_options`` names
    those options that say where the store is, and so belong to its name.

    >>> class Options(msgspec.Struct, frozen=True):
    ...     timeout: float = 5.0
    >>> BackendSpec(schemes=("acme",), load="acme_queue.backend:AcmeBackend", contract="1",
    ...             capabilities=CAPABILITIES, options=Options, summary="Acme's storage",
    ...             install_hint="pip install 'acme-queue[client]'")       # doctest: +SKIP
    """

    schemes: tuple[str, ...]
    load: str
    contract: str
    capabilities: Capabilities
    options: type[msgspec.Struct]
    summary: str
    install_hint: str = ""
    harness: str = ""
    place_options: tuple[str, ...] = ()


def fault_of(spec: BackendSpec) -> str | None:
    """Return what is wrong with a spec, or ``None``: structs do not check what they are made of.

    Of a spec for another contract only the schemes are looked at.
    """
    given: dict[str, Any] = msgspec.structs.asdict(spec)
    if not isinstance(given["schemes"], tuple) or not spec.schemes:
        return "schemes is not a tuple with at least one URL scheme"
    for scheme in given["schemes"]:
        if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
            return f"{scheme!r} is not a lower-case URL scheme"
    return None if spec.contract != CONTRACT else _fault_of_fields(given)


def _fault_of_fields(given: dict[str, Any]) -> str | None:
    if not isinstance(given["load"], str) or not _LOAD.fullmatch(given["load"]):
        return f"load is {given['load']!r}, not 'module:Class'"
    if not isinstance(given["harness"], str) or (given["harness"] and not _LOAD.fullmatch(given["harness"])):
        return f"harness is {given['harness']!r}, not 'module:Class'"
    if not isinstance(given["capabilities"], Capabilities):
        return "capabilities is not a distqueue.capabilities.Capabilities"
    if not isinstance(given["summary"], str) or not isinstance(given["install_hint"], str):
        return "summary and install_hint have to be text"
    if not isinstance(given["options"], type) or not issubclass(given["options"], msgspec.Struct):
        return "options is not a subclass of msgspec.Struct"
    return _fault_of_options(given["options"], given["place_options"])


def _fault_of_options(options: type[msgspec.Struct], places: object) -> str | None:
    fields = msgspec.structs.fields(options)
    if not isinstance(places, tuple) or not {*places} <= {field.encode_name for field in fields}:
        return f"place_options is {places!r}, not a tuple of names of options"
    for field in fields:
        if field.required:
            return f"the option {field.encode_name!r} has no default"
        if field.encode_name in RESERVED:
            return f"an option cannot be named {field.encode_name!r}: distqueue takes that argument itself"
    return None
