"""The plugin: the backends of this package, as the hook ``distqueue_backends`` yields them."""

from __future__ import annotations

from collections.abc import Iterator

from distqueue.plugins import BackendSpec, hookimpl
from distqueue_backends.json.options import JSON_CAPABILITIES, JsonOptions
from distqueue_backends.memory import MEMORY_CAPABILITIES, MemoryOptions
from distqueue_backends.postgresql.options import POSTGRES_CAPABILITIES, PostgresOptions
from distqueue_backends.sharded.options import SHARDED_CAPABILITIES, ShardedOptions
from distqueue_backends.sqlite.options import SQLITE_CAPABILITIES, SqliteOptions


@hookimpl
def distqueue_backends() -> Iterator[BackendSpec]:
    """Register what is built in."""
    yield BackendSpec(
        schemes=("memory",),
        load="distqueue_backends.memory:MemoryBackend",
        contract="1",
        capabilities=MEMORY_CAPABILITIES,
        options=MemoryOptions,
        summary="in this process only; for tests and for trying things out",
        harness="distqueue_backends.harness:MemoryHarness",
    )
    yield BackendSpec(
        schemes=("json",),
        load="distqueue_backends.json.backend:JsonBackend",
        contract="1",
        capabilities=JSON_CAPABILITIES,
        options=JsonOptions,
        summary="one readable Queue.json, shared by the processes of one machine",
        harness="distqueue_backends.harness:FileHarness",
    )
    yield BackendSpec(
        schemes=("sharded-json",),
        load="distqueue_backends.sharded.backend:ShardedBackend",
        contract="1",
        capabilities=SHARDED_CAPABILITIES,
        options=ShardedOptions,
        summary="a directory of JSON files, for many processes that write at once",
        harness="distqueue_backends.harness:FileHarness",
    )
    yield BackendSpec(
        schemes=("sqlite",),
        load="distqueue_backends.sqlite.backend:SqliteBackend",
        contract="1",
        capabilities=SQLITE_CAPABILITIES,
        options=SqliteOptions,
        summary="one SQLite database, shared by the processes of one machine",
        harness="distqueue_backends.harness:SqliteHarness",
    )
    yield BackendSpec(
        schemes=("postgresql", "postgres"),
        load="distqueue_backends.postgresql.backend:PostgresBackend",
        contract="1",
        capabilities=POSTGRES_CAPABILITIES,
        options=PostgresOptions,
        summary="a PostgreSQL database, shared by any number of machines",
        install_hint="pip install 'distqueue[postgresql]'",
        harness="distqueue_backends.postgresql.harness:PostgresHarness",
        place_options=("schema", "host"),
    )
