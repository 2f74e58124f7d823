"""Store URLs: which backend, and where its store is.

SQLAlchemy's rule for paths: three slashes are relative, four absolute. ``json:///a/b.json`` is
``a/b.json`` in the working directory, ``json:////a/b.json`` is ``/a/b.json``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Final, NoReturn
from urllib.parse import quote, unquote

import msgspec

from distqueue.errors import ConfigError

SERVER_SCHEMES: Final = frozenset(
    {"memory", "nats", "postgres", "postgresql", "redis", "rediss", "valkey", "valkeys"}
)
"""The schemes whose path names something inside a server or a process, never a file."""

HIDDEN: Final = "***"
"""What stands for a secret wherever one would be shown."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<place>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
_HOST = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USERINFO = re.compile(r"((?:^|//)[^:/?#@]*):(?!//).*@")
_SECRET_NAME = re.compile(r"passw(or)?d|pwd|secret|token|credential|api_?key", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(rf"([?&][^=&]*(?:{_SECRET_NAME.pattern})[^=&]*)=[^&]*", re.IGNORECASE)


class StoreURL(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed store URL, its parts percent-decoded. ``str`` and ``repr`` never show a secret.

    ``query`` holds the backend's options as they were typed. ``path`` is relative if it does not
    begin with a slash, and empty if there is none. Of several servers (``a:5432,b:5433``) ``host`` has
    all, with their ports; :meth:`places` takes them apart.
    """

    scheme: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = None
    path: str = ""
    query: dict[str, str] = {}

    @property
    def is_file(self) -> bool:
        """Whether the path names a file or a directory on this machine."""
        return bool(self.path) and self.host is None and self.scheme not in SERVER_SCHEMES

    def places(self) -> list[tuple[str, int | None]]:
        """Return host and port of each server, as far as they are given.

        >>> parse_url("postgresql://db1:5433,db2/shop").places()
        [('db1', 5433), ('db2', None)]
        """
        return (self.port is None and _servers(self.host or "")) or [(self.host or "", self.port)]

    def relative_to(self, directory: str) -> StoreURL:
        """Return the URL with a relative file path made absolute; any other URL is returned unchanged.

        >>> str(parse_url("json:///Queue.json").relative_to("/srv"))
        'json:////srv/Queue.json'
        """
        if not self.is_file or os.path.isabs(self.path):
            return self
        return msgspec.structs.replace(self, path=os.path.join(os.path.abspath(directory), self.path))

    def name(self, options: Collection[str] = ()) -> str:
        """Return the URL of the same store however it was typed: without its password.

        Of its options only those of the given names stay, which say where the store is.

        >>> parse_url("json:////srv/../srv/Queue.json?lock_timeout=5").name()
        'json:////srv/Queue.json'
        """
        path = os.path.realpath(self.path) if self.is_file else self.path
        query = {name: value for name, value in sorted(self.query.items()) if name in options}
        return str(msgspec.structs.replace(self, path=path, query=query))

    def file_path(self) -> str:
        """Return the path of a URL that has to name a file: what the backend of a file calls.

        Raises:
            ConfigError: the URL has a host (a slash too few), or no path.
        """
        if self.host is not None:
            raise ConfigError(
                f"{self}: {self.host!r} stands where a host would; "
                f"write {self.scheme}:///{self.host}{self.path and '/' + self.path} "
                f"for a path relative to the working directory, {self.scheme}:////… for an absolute one"
            )
        if not self.path:
            raise ConfigError(f"{self}: the path is missing; write {self.scheme}:///PATH")
        return self.path

    def unredacted(self) -> str:
        """Return the URL as text with its password: for a client library, never for a log."""
        return self._text(hide=False)

    def __str__(self) -> str:
        return self._text(hide=True)

    def __repr__(self) -> str:
        return f"StoreURL({str(self)!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("url", str(self))]

    def _text(self, *, hide: bool) -> str:
        path = f"/{quote(self.path, safe='/:@+,=~')}" if self.path else ""
        query = "&".join(
            f"{quote(name, safe='')}={_shown(name, value) if hide else quote(value, safe='/:')}"
            for name, value in self.query.items()
        )
        return f"{self.scheme}://{self._place(hide=hide)}{path}{query and '?' + query}"

    def _place(self, *, hide: bool) -> str:
        host = self.host or ""
        if len(self.places()) > 1:
            host = quote(host, safe=",:[]")
        elif not _IPV6.fullmatch(host):
            host = quote(host, safe="")
        port = "" if self.port is None else f":{self.port}"
        if self.user is None:
            return host + port
        user = quote(self.user, safe="")
        if self.password is None:
            return f"{user}@{host}{port}"
        return f"{user}:{HIDDEN if hide else quote(self.password, safe='')}@{host}{port}"


def parse_url(text: str) -> StoreURL:
    """Return the parts of a store URL.

    The scheme may be written in any case. A ``%``, ``?``, ``#``, ``@`` or ``:`` inside a name or a
    password is written percent-encoded; a plus sign stands for itself. No secret is in any message.

    Raises:
        ConfigError: the text is not a URL; the message says what to write.

    >>> parse_url("json:///Queue.json?lock_timeout=5").path
    'Queue.json'
    """
    _check_text(text)
    match = _URL.fullmatch(text)
    if match is None:
        raise ConfigError(f"{redact(text)!r} is not a URL; {_suggestion(text)}")
    user, password, host, port = _parse_place(text, match["place"])
    path = _decode(text, match["path"] or "")
    return StoreURL(
        scheme=match["scheme"].lower(),
        host=host,
        port=port,
        user=user,
        password=password,
        path=path[1:],
        query=_parse_query(text, match["query"] or ""),
    )


def redact(text: str) -> str:
    """Return a text that may be a URL, well-formed or not, without the secrets in it."""
    return _SECRET_PARAMETER.sub(rf"\1={HIDDEN}", _USERINFO.sub(rf"\1:{HIDDEN}@", text))


def is_secret(name: str) -> bool:
    """Tell whether an option of this name holds a secret, judged by the name."""
    return _SECRET_NAME.search(name) is not None


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise ConfigError(f"a store URL is text, not {type(text).__name__}; {_suggestion(str(text))}")
    if not text:
        raise ConfigError("the store URL is empty; write one such as json:///Queue.json")
    if _CONTROL.search(text):
        _refuse(text, "it holds a control character; remove it")
    if text != text.strip():
        _refuse(text, "it begins or ends with white space; remove it")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        _refuse(text, "it holds bytes that are not UTF-8 text; rename the file")
    if "#" in text:
        _refuse(text, "a store URL has no fragment; write %23 for a # in a name or a password")


def _suggestion(text: str) -> str:
    """Say what to write instead of something that is not a URL."""
    if found := re.fullmatch(r"([A-Za-z][A-Za-z0-9+-]+):(/*)([^:@]+)", text):
        scheme, slashes, path = found.groups()
        return f"write {scheme.lower()}://{'//' if slashes else '/'}{path}"
    if not text or re.search(r"[:@?]", text):
        return "write SCHEME:///PATH or SCHEME://HOST/NAME, such as json:///Queue.json"
    if text.endswith((".db", ".sqlite", ".sqlite3")):
        return f"for a SQLite database write sqlite:///{text}"
    return f"for a JSON file write json:///{text}"


def _parse_place(text: str, place: str) -> tuple[str | None, str | None, str | None, int | None]:
    """Return user, password, host and port of ``user:password@host:port``."""
    credentials, at, host_port = place.rpartition("@")
    if "@" in credentials:
        _refuse(text, "write %40 for an @ in a user name or a password")
    places = [_parse_server(text, each) for each in host_port.split(",")]
    host, port = places[0] if len(places) == 1 else (_decode(text, host_port), None)
    user, colon, password = credentials.partition(":")
    return (
        _decode(text, user) if at else None,
        _decode(text, password) if colon else None,
        host or None,
        port,
    )


def _servers(hosts: str) -> list[tuple[str, int | None]]:
    """Return host and port of each of several servers, none if that is not what it says."""
    found: list[tuple[str, int | None]] = []
    for each in hosts.split(","):
        match = _HOST.fullmatch(each)
        port = int(match["port"]) if match and match["port"] else None
        if match is None or (port is not None and not 0 < port < 65536):
            return []
        found.append((match["host"], port))
    return found


def _parse_server(text: str, place: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(place)
    if match is None:
        _refuse(text, "what follows the host is not a port number, or a password holds a / (write %2F)")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        _refuse(text, f"{port} is not a port; use 1 to 65535")
    return _decode(text, match["host"]), port


def _parse_query(text: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        name = _decode(text, name)
        if not equals or not name:
            _refuse(text, f"{redact('?' + pair)[1:]!r} in the query is not NAME=VALUE")
        if name in options:
            _refuse(text, f"the option {name!r} is given twice")
        options[name] = _decode(text, value)
    return options


def _decode(text: str, part: str) -> str:
    if _BAD_ESCAPE.search(part):
        _refuse(text, "a % in it is not followed by two hexadecimal digits; write %25 for a %")
    try:
        decoded = unquote(part, errors="strict")
    except UnicodeDecodeError:
        _refuse(text, "a percent escape in it is not UTF-8 text")
    if _CONTROL.search(decoded):
        _refuse(text, "it holds an encoded control character; remove it")
    return decoded


def _shown(name: str, value: str) -> str:
    return HIDDEN if is_secret(name) else quote(value, safe="/:")


def _refuse(text: str, why: str) -> NoReturn:
    raise ConfigError(f"{redact(text)!r}: {why}") from None
