"""An answer that was lost: what is asked again has the answer of the first time."""

from __future__ import annotations

import time

import pytest

from distqueue.broker.again import apply_again
from distqueue.commands import Ack, Claim, Put
from distqueue.opening import open_broker
from distqueue.payload import Payload
from distqueue.results import Claimed, Settled, Stored


def put(task_id: str) -> Put:
    return Put.make("q", task_id, Payload(b"1"))


@pytest.mark.parametrize("was_carried_out", [True, False])
def test_puts_claims_and_acks(url: str, was_carried_out: bool) -> None:
    broker = open_broker(url)
    broker.apply([put("old")])
    claim = Claim(queue="q", token="mine")  # noqa: S106
    commands = [put("old"), put("new"), put("new"), claim]
    began = time.time()
    if was_carried_out:
        broker.apply(commands)
    stored, new, twice, claimed = apply_again(broker.apply, commands, began)
    assert stored == Stored(task_id="old", duplicate=True)
    assert new == Stored(task_id="new")
    assert twice == Stored(task_id="new", duplicate=True)
    assert isinstance(claimed, Claimed)
    assert [lease.task_id for lease in claimed.leases] == ["old"]
    ack = Ack(queue="q", receipt=claimed.leases[0].receipt)
    if was_carried_out:
        broker.apply([ack])
    (settled,) = apply_again(broker.apply, [ack], began)
    assert isinstance(settled, Settled)
    broker.close()
