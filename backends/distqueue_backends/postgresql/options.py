"""The options of ``postgresql:`` URLs, and what the backend promises."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from distqueue.capabilities import Capabilities, Durability, Ordering, WakeUp
from distqueue.limits import MAX_BATCH, MAX_PAYLOAD

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)


class Switch(StrEnum):
    """Whether something is done: where it is right, or never."""

    AUTO = "auto"
    OFF = "off"


class SSLMode(StrEnum):
    """What is checked of a server that is reached over TLS, as libpq calls it."""

    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class PostgresOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set in the URL of a PostgreSQL store; durations in seconds.

    ``schema`` is the PostgreSQL schema that holds the tables. ``dedup_window`` and ``dedup_max`` say for how
    long, and for at least how many tasks a queue, ids are remembered after their task is gone.
    ``lock_timeout`` is how long to wait for what another transaction holds, ``connect_timeout`` for the
    server, also when a connection broke. ``listen=off`` polls instead of listening, and prepares no
    statements, as is done of itself where a pooler is noticed. ``tls=off`` allows a remote server without
    TLS; ``sslmode`` (of a remote server ``require``) and the three files are those of libpq. ``host`` is the
    directory of a Unix socket. The server lists the connections by ``application_name``, "distqueue/" and the
    schema if none is given.
    """

    schema: str = "distqueue"
    dedup_window: Annotated[float, Meta(ge=0)] = 300.0
    dedup_max: Annotated[int, Meta(ge=0)] = 100_000
    lock_timeout: Annotated[float, Meta(ge=0)] = 10.0
    connect_timeout: Annotated[float, Meta(gt=0)] = 10.0
    listen: Switch = Switch.AUTO
    tls: Switch = Switch.AUTO
    sslmode: SSLMode | None = None
    sslrootcert: str = ""
    sslcert: str = ""
    sslkey: str = ""
    host: str = ""
    application_name: str = ""

    def __post_init__(self) -> None:
        if self.tls is Switch.OFF and self.sslmode is not None:
            raise ValueError(f"tls=off and sslmode={self.sslmode} exclude each other; leave one of them out")
        if not _SCHEMA.fullmatch(self.schema) or self.schema.startswith("pg_"):
            raise ValueError(
                f"schema is {self.schema!r:.80}; use 1 to 63 of a-z, 0-9 and '_', the first "
                "no digit, and no name that begins with pg_"
            )


POSTGRES_CAPABILITIES: Final = Capabilities(
    durability=Durability.REPLICATED,
    ordering=Ordering.QUEUE,
    atomic_batch=True,
    fenced_receipts=True,
    priorities=True,
    delay=True,
    groups=True,
    unique=True,
    dedup_window=300.0,
    dedup_max=100_000,
    expiry=True,
    pause=True,
    fence=True,
    browse=True,
    keep_done=True,
    transactional_enqueue=True,
    shared_between_processes=True,
    wake_up=WakeUp.PUSH,
    attempts_apart_from_deliveries=True,
    max_payload=MAX_PAYLOAD,
    max_batch=MAX_BATCH,
)
"""The whole contract, on any number of machines. An open store has ``replicated`` only with a synchronous
standby, and wakes by push only if it may listen."""
