"""The schema of a store: its version, and the SQL that makes each version out of the one before."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from distqueue.errors import StoreMissing, UnsupportedFormat

MIGRATIONS: Final = (
    (
        "0001_tables",
        "0001_time",
        "0001_put",
        "0001_claim",
        "0001_settle",
        "0001_read",
        "0001_admin",
        "0001_load",
        "0001_settings",
    ),
)
"""The files of each version, by their names in ``sql/``."""
VERSION: Final = len(MIGRATIONS)
"""The version that this distqueue needs; a newer one will do if its ``oldest`` is not above this."""
_LOCK: Final = 7_116_851_143_200_901
"""The advisory lock under which a database is migrated."""
_CHECK: Final = """\
DO $$ BEGIN
    IF (SELECT version FROM "{schema}".store) <> {version} THEN
        RAISE EXCEPTION 'schema {schema} does not have version {version} any more: print the SQL again';
    END IF;
END $$;"""


def script(schema: str, version: int = 0, said: str = "") -> str:
    """Return the SQL that brings a schema up to date from a version: what ``distqueue migrate --sql`` prints.

    ``said`` is what comments at its top say. Carried out on another version it changes nothing, and fails.
    """
    comments = "".join(f"-- {line}\n" for line in said.splitlines())
    if version >= VERSION:
        return comments
    check = [_CHECK.format(schema=schema, version=version)] if version else []
    return "\n".join([f"{comments}BEGIN;", *check, _statements(schema, version), "COMMIT;\n"])


def _statements(schema: str, version: int) -> str:
    parts = [f'CREATE SCHEMA IF NOT EXISTS "{schema}";', f'SET LOCAL search_path = "{schema}", pg_temp;']
    for names in MIGRATIONS[version:]:
        parts += [_read(name) for name in names]
    parts.append(f"UPDATE store SET version = {VERSION};")
    return "\n".join(parts)


def bring_up_to_date(connection: Any, schema: str) -> tuple[int, int]:
    """Bring a schema up to date; return the version that it had (0: there was none), and that it has.

    The connection is in autocommit mode. Another process that does the same is waited for.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        before, _ = version_of(connection, schema) or (0, 0)
        if before < VERSION:
            connection.execute(_statements(schema, before).encode(), prepare=False)
    return before, max(before, VERSION)


def version_of(connection: Any, schema: str) -> tuple[int, int] | None:
    """Return the version of a schema and the oldest that can use it, ``None`` if there is no store."""
    there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f'"{schema}".store',)).fetchone()
    if not there[0]:
        return None
    found: tuple[int, int] = connection.execute(f'SELECT version, oldest FROM "{schema}".store').fetchone()
    return found


def check_version(connection: Any, schema: str, url: str) -> None:
    """Refuse a database whose schema this distqueue cannot use.

    Raises:
        StoreMissing: it was never migrated.
        UnsupportedFormat: it is too old, or too new.
    """
    found = version_of(connection, schema)
    if found is None:
        raise StoreMissing(f"no store in schema {schema} of {url}; run `distqueue migrate -u '{url}'` first")
    version, oldest = found
    if version < VERSION:
        raise UnsupportedFormat(
            f"schema {schema} of {url} has version {version}, this distqueue needs {VERSION}; "
            f"run `distqueue migrate -u '{url}'`"
        )
    if oldest > VERSION:
        raise UnsupportedFormat(
            f"schema {schema} of {url} has version {version}, which needs a newer distqueue; upgrade it"
        )


def _read(name: str) -> str:
    return files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
