"""A primary that is lost, and a standby that takes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from distqueue.capabilities import Durability
from distqueue.commands import Put, Stats
from distqueue.conformance.campaign import run
from distqueue.conformance.crew import Plan
from distqueue.errors import StoreError
from distqueue.opening import migrate_store, open_broker
from tests.servers.chosen import postgres_programs
from tests.servers.postgresql import Server, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def primary() -> Iterator[Server]:
    with serving(postgres_programs()) as server:
        migrate_store(server.url)
        yield server


def durability(url: str) -> Durability:
    broker = open_broker(url)
    broker.close()
    return broker.capabilities.durability


def test_clients_go_on_at_the_standby_with_what_was_acknowledged(primary: Server, tmp_path: Path) -> None:
    standby = primary.standby()
    url = primary.url.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")
    open_before = open_broker(url)
    assert open_before.capabilities.durability is Durability.REPLICATED
    serving = [primary]

    def fail_over() -> None:
        """Kill who serves; for the primary the standby takes over."""
        if serving[-1] is primary:
            primary.kill()
            standby.promote()
            serving.append(standby)
        else:
            standby.restart()

    report = run(Plan(url=url, directory=str(tmp_path), kills=5, lease=15.0), restart_engine=fail_over)
    assert report.valid, report
    assert serving == [primary, standby]
    open_before.apply([Stats(queue="*")])
    for broker in (open_before, open_broker(url)):
        assert broker.capabilities.durability is Durability.FSYNC  # the new server has no standby of its own
        broker.close()


@pytest.mark.parametrize(
    ("name", "value"), [("synchronous_commit", "local"), ("synchronous_standby_names", "''")]
)
def test_it_is_replicated_only_if_a_commit_waits_for_the_standby(
    primary: Server, name: str, value: str
) -> None:
    primary.standby()
    assert durability(primary.url) is Durability.REPLICATED
    with psycopg.connect(primary.url, autocommit=True) as admin:
        admin.execute(f"ALTER SYSTEM SET {name} = {value}")
        admin.execute("SELECT pg_reload_conf()")
        while admin.execute(f"SHOW {name}").fetchone() != (value.strip("'"),):
            pass
    assert durability(primary.url) is Durability.FSYNC


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_would_lose_tasks_is_refused(name: str) -> None:
    says = f"{name}=off, and would lose tasks in a crash; set it to on"
    with (
        serving(postgres_programs(), settings={name: "off"}) as server,
        pytest.raises(StoreError, match=says),
    ):
        migrate_store(server.url)


def test_a_server_that_loses_tasks_since_a_restart_is_refused(primary: Server) -> None:
    broker = open_broker(primary.url)
    broker.apply([Put.make("work", "it", b"1")])
    with psycopg.connect(primary.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
    primary.restart()
    with pytest.raises(StoreError, match="fsync=off"):
        broker.apply([Put.make("work", "other", b"1")])
    broker.close()
