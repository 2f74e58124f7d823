"""From the URL of a store to what libpq connects by: with TLS to wherever the network leads."""

from __future__ import annotations

import ipaddress

from distqueue.urls import StoreURL
from distqueue_backends.postgresql.options import PostgresOptions, SSLMode, Switch


def parameters(url: StoreURL, options: PostgresOptions) -> dict[str, str | int]:
    """Return the connection parameters; what is not in the URL is left to libpq (``PGUSER``, ``.pgpass``)."""
    places = url.places()
    hosts = [host.strip("[]") for host, _ in places] if url.host else options.host.split(",")
    ports = [str(port or "") for _, port in places]
    found: dict[str, str | int | None] = {
        "host": ",".join(hosts),
        "port": ",".join(ports) if any(ports) else "",
        "user": url.user,
        "password": url.password,
        "dbname": url.path,
        "application_name": application_name(options),
        "connect_timeout": max(2, round(options.connect_timeout)),
        "target_session_attrs": "primary",  # "read-write" is also about what the role has by default
        "client_encoding": "UTF8",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        **_tls(hosts, options),
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def application_name(options: PostgresOptions) -> str:
    """Return the name by which the server lists the connections to a store."""
    return options.application_name or f"distqueue/{options.schema}"


def _tls(hosts: list[str], options: PostgresOptions) -> dict[str, str]:
    """Return the parameters of TLS: with a remote host it is required, unless it was switched off."""
    files = {"sslrootcert": options.sslrootcert, "sslcert": options.sslcert, "sslkey": options.sslkey}
    mode = options.sslmode
    if mode is None and options.tls is Switch.AUTO and any(map(_is_remote, hosts)):
        mode = SSLMode.REQUIRE
    return files if mode is None else {"sslmode": mode.value, **files}


def _is_remote(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
