"""What a server has to be like for what it answers to be durable."""

from __future__ import annotations

from typing import Final

import msgspec

from distqueue.errors import StoreError
from distqueue_backends.postgresql.options import PostgresOptions
from distqueue_backends.postgresql.session import Session

PATIENCE: Final = 0.25
"""How long commands wait for what another transaction holds, in seconds, before each is tried alone."""
SILENCE: Final = 5.0
"""For how long a transaction stays open whose process says nothing, as it was stopped, in seconds."""
OLDEST: Final = 150_000
"""The oldest version of PostgreSQL, as the server tells it."""
_ASK: Final = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_version'), "
    "current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), "
    "current_setting('synchronous_standby_names'), current_setting('server_encoding'), "
    "(SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))"
)


class Server(msgspec.Struct, frozen=True):
    """A server that was looked at: its version, the ``synchronous_commit`` by which a commit waits for the
    disk, and whether it waits for a synchronous standby.
    """

    version: str
    commit: str
    is_replicated: bool


def look_at(session: Session, url: str) -> Server:
    """Look whether a server keeps what it has committed.

    Raises:
        StoreError: it does not, or it is too old.
    """
    ((number, version, fsync, pages, commit, standbys, encoding, connected),) = session.execute(_ASK)
    if number < OLDEST:
        raise StoreError(f"{url} is PostgreSQL {version}; distqueue needs 15 or newer")
    for name, value in (("fsync", fsync), ("full_page_writes", pages)):
        if value != "on":
            raise StoreError(f"{url} runs with {name}={value}, and would lose tasks in a crash; set it to on")
    if encoding != "UTF8":
        raise StoreError(f"the database of {url} has the encoding {encoding}; create one with UTF8")
    waits = commit in ("on", "remote_apply")
    return Server(version, "on" if commit == "off" else commit, bool(standbys) and waits and connected > 0)


def settings(options: PostgresOptions) -> dict[str, str]:
    """Return the settings of every session, whatever those of the database or the user are."""
    return {
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "lock_timeout": in_milliseconds(min(PATIENCE, options.lock_timeout)),
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": in_milliseconds(SILENCE),
        "extra_float_digits": "3",
        "client_min_messages": "warning",
    }


def in_milliseconds(seconds: float) -> str:
    """Return a duration as a setting; 0 would be no limit."""
    return f"{max(1, round(seconds * 1000))}ms"
