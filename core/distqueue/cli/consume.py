"""``get``: tasks as lines of JSON, each acked once it has been written."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from distqueue.cli.errors import ExitCode, complain
from distqueue.cli.options import AsJson, QueueName, Url
from distqueue.cli.output import write_out
from distqueue.cli.store import Store, open_store
from distqueue.commands import Ack, Claim
from distqueue.defaults import Defaults
from distqueue.errors import Refused, SettleRefused, StoreError
from distqueue.ids import new_token
from distqueue.outcomes import expect
from distqueue.results import Claimed, Lease, Settled
from distqueue.session import Session
from distqueue.times import seconds


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """What ``get --lease`` prints of a task."""

    task_id: str
    data: msgspec.Raw
    receipt: str
    attempt: int


def get(
    url: Url = None,
    queue: QueueName = "default",
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, metavar="N", help="Get up to so many.  [default: 1]")
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Wait so long if there are not enough.")
    ] = 0.0,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C or SIGTERM, or until --count.")
    ] = False,
    lease: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Do not ack: print the receipt, with which to settle it in this time."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Get tasks and print the data of each, a line each.

    A task is acked once its line is written. If the reader has gone, the task is given back.
    """
    with open_store(url, queue) as store:
        length = store.settings.lease if lease is None else lease
        consumer = _Consumer(store, queue, length, acks=lease is None, as_json=as_json)
        deadline = None if follow else time.monotonic() + seconds("--wait", wait)
        try:
            consumer.hand_over_many(count or (None if follow else 1), deadline)
        except (KeyboardInterrupt, SystemExit):
            if not follow:
                raise
        finally:
            consumer.close()
    if consumer.refused:
        raise typer.Exit(ExitCode.REFUSED)
    if not consumer.handed_over and not follow:
        raise typer.Exit(ExitCode.NOTHING)


class _Hand:
    """A task that is being written, whose lease is renewed meanwhile."""

    def __init__(self, lease: Lease, began: float) -> None:
        self.lease = lease
        self.began = began
        self.lost = False

    @property
    def receipt(self) -> str:
        return self.lease.receipt


class _Consumer:
    """Gets tasks one after another, so that at most one is neither written nor in the store."""

    def __init__(self, store: Store, queue: str, lease: float, *, acks: bool, as_json: bool) -> None:
        self.handed_over = self.refused = 0
        self._queue = queue
        self._lease = lease
        self._acks = acks
        self._as_json = as_json
        self._session = Session(lambda: store.broker, queue, Defaults())

    def close(self) -> None:
        """End the renewal of leases, and close the store."""
        self._session.close()

    def hand_over_many(self, count: int | None, deadline: float | None) -> None:
        """Hand over up to ``count`` tasks; wait for them until ``deadline`` (``None``: for ever)."""
        while count is None or self.handed_over < count:
            claim = Claim(queue=self._queue, token=new_token(), lease=self._lease)
            try:
                if (hand := self._wait_for(claim, deadline)) is None:
                    return
                self._hand_over(hand)
            except (Refused, StoreError):  # nothing is claimed, or nothing can be done about it
                raise
            except BaseException:
                self._session.give_back([claim])
                raise

    def _wait_for(self, claim: Claim, deadline: float | None) -> _Hand | None:
        session = self._session
        while True:
            began = time.monotonic()
            claimed = expect(session.apply([claim])[0], Claimed)
            if claimed.leases:
                return _Hand(claimed.leases[0], began)
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            session.broker.wait(self._queue, claimed.seen, left)

    def _hand_over(self, hand: _Hand) -> None:
        """Write a task, then ack it. The reader may take longer than a lease."""
        line = self._line(hand.lease)
        if not self._acks:
            _write(line)
        else:
            self._session.renewal.add(hand, self._lease, hand.began)
            try:
                _write(line)
            finally:
                self._session.renewal.drop(hand)
            self._ack(hand.receipt)
        self.handed_over += 1

    def _ack(self, receipt: str) -> None:
        try:
            expect(self._session.apply([Ack(queue=self._queue, receipt=receipt)])[0], Settled)
        except SettleRefused as refusal:
            complain(f"what was written could not be acked: {refusal}")
            self.refused += 1

    def _line(self, lease: Lease) -> bytes:
        data = msgspec.Raw(lease.data)
        if self._as_json:
            fields = msgspec.structs.asdict(lease)
            return msgspec.json.encode({**fields, "queue": self._queue, "data": data})
        if self._acks:
            return lease.data
        return msgspec.json.encode(
            Handed(task_id=lease.task_id, data=data, receipt=lease.receipt, attempt=lease.attempt)
        )


def _write(line: bytes) -> None:
    try:
        write_out(line)
    except OSError as error:
        complain(f"the output cannot be written ({error.strerror}): the task is given back")
        raise typer.Exit(ExitCode.ERROR) from error
