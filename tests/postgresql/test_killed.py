"""The server, publishers and consumers are killed under load, and a checker judges what they saw.

By default a few times; ``DISTQUEUE_POSTGRES_KILLS=300`` makes it a campaign, with ``pytest --timeout 3000``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distqueue.conformance.campaign import run
from distqueue.conformance.crew import Plan
from distqueue.opening import migrate_store
from tests.servers.postgresql import Server

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("DISTQUEUE_POSTGRES_KILLS", "4"))


@pytest.mark.parametrize("options", ["", "&listen=off"])
def test_every_promise_is_kept(own_postgres: Server, tmp_path: Path, options: str) -> None:
    url = f"{own_postgres.url}?schema=killed&connect_timeout=60{options}"
    migrate_store(url)
    plan = Plan(
        url=url, directory=str(tmp_path), kills=KILLS, seed=KILLS, lease=15.0, queue=f"q{len(options)}"
    )
    report = run(plan, restart_engine=own_postgres.restart)
    assert report.valid, report
    assert set(report.kills) == {"publisher", "consumer", "engine"}
