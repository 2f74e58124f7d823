"""A client that falls silent in the middle of a transaction, as one that was stopped does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distqueue.commands import Claim, Put, Stats
from distqueue.opening import open_broker
from distqueue.outcomes import leases_in
from distqueue.results import Counted
from distqueue_backends.postgresql import server
from tests.servers.proxy import Harm, Proxy


def test_it_holds_up_nobody_for_long(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(url) as proxy, ThreadPoolExecutor(1) as thread:
        direct = open_broker(url)
        monkeypatch.setattr(server, "SILENCE", 0.3)
        silent = open_broker(proxy.url, listen="off")
        due = time.time() + 0.1
        direct.apply([Put.make("work", "it", b"1", due=due), Put.make("work", "other", b"1", due=due)])
        time.sleep(max(0.0, due - time.time()) + 0.01)
        proxy.do(Harm.SILENT, 3)  # BEGIN, the settings, and the claim, that places what is due
        claim = Claim(queue="work", token="of-the-silent", count=2)  # noqa: S106 - of a claim
        claiming = thread.submit(silent.apply, [claim])
        proxy.wait()
        (counted,) = direct.apply([Stats(queue="work")])  # waits for the due tasks to be placed
        assert isinstance(counted, Counted)
        assert counted.queues[0].leased == 0
        proxy.let_speak()
        assert {lease.task_id for lease in leases_in(claiming.result(30))} == {"it", "other"}
        silent.close()
        direct.close()
