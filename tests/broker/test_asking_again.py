"""An answer that was lost: what is asked again has the answer of the first time."""

from __future__ import annotations

import time

import pytest

from distqueue import LeaseLost, TaskState
from distqueue.broker.again import apply_again
from distqueue.commands import Ack, Claim, Put, Release, Retry
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


def test_a_task_that_was_given_back_for_later(url: str) -> None:
    broker = open_broker(url)
    _, claimed = broker.apply([put("it"), Claim(queue="q", token="mine")])  # noqa: S106
    assert isinstance(claimed, Claimed)
    release = Release(queue="q", receipt=claimed.leases[0].receipt, delay=1000)
    began = time.time()
    (settled,) = broker.apply([release])
    assert isinstance(settled, Settled)
    assert settled.state is TaskState.SCHEDULED
    assert apply_again(broker.apply, [release], began) == [settled]
    broker.close()


@pytest.mark.parametrize("verb", [Release, Retry])
def test_what_was_given_back_and_taken_by_another(url: str, verb: type[Release | Retry]) -> None:
    broker = open_broker(url)
    broker.apply([put("it")])
    claimed, _ = broker.apply([Claim(queue="q", token="mine"), Claim(queue="q", token="none")])  # noqa: S106
    assert isinstance(claimed, Claimed)
    (lease,) = claimed.leases
    give_back = Retry(queue="q", receipt=lease.receipt, delay=0) if verb is Retry else None
    commands = [give_back or Release(queue="q", receipt=lease.receipt)]
    began = time.time()
    broker.apply(commands)
    (other,) = broker.apply([Claim(queue="q", token="other")])  # noqa: S106
    assert isinstance(other, Claimed)
    (settled,) = apply_again(broker.apply, commands, began)
    assert settled == Settled(task_id="it", state=TaskState.LEASED)
    (settled,) = broker.apply([Ack(queue="q", receipt=other.leases[0].receipt)])
    assert isinstance(settled, Settled)
    (settled,) = apply_again(broker.apply, commands, began)
    assert settled == Settled(task_id="it", state=TaskState.DONE)
    (lost,) = apply_again(broker.apply, [Ack(queue="q", receipt=lease.receipt)], began)
    assert isinstance(lost, LeaseLost)
    (lost,) = apply_again(broker.apply, [Release(queue="q", receipt="none")], began)
    assert isinstance(lost, LeaseLost)
    broker.close()
