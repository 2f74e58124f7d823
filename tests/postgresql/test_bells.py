"""What others tell is heard, whenever it comes."""

from __future__ import annotations

import select

import psycopg
import pytest

from distqueue.opening import open_broker
from distqueue.results import Seen
from distqueue_backends.postgresql.bells import Bells, channel_of
from tests.broker.conftest import wait_until


def test_what_comes_between_hearing_and_waiting_for_more_is_heard(
    url: str, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In between the connection is looked at, whether it is alive, and that takes in what has come."""
    channel = channel_of(url.rpartition("schema=")[2])
    listening: list[Bells] = []
    to_tell: list[str] = []
    hear = Bells._hear

    def tell(queue: str) -> None:
        other.execute("SELECT pg_notify(%s, %s)", (channel, queue))
        other.commit()

    def hear_and_be_told(bells: Bells) -> None:
        hear(bells)
        listening.append(bells)
        if to_tell and bells._rings["heard"]:
            tell(to_tell.pop())
            assert bells._session._connection is not None
            assert select.select([bells._session._connection.fileno()], [], [], 20)[0]

    monkeypatch.setattr(Bells, "_hear", hear_and_be_told)
    broker = open_broker(url)
    broker.wait("heard", Seen(0), 0.0)
    wait_until(lambda: broker.wait("heard", Seen(-1), 0.0).version > 0, "it to listen")
    to_tell.append("in between")
    tell("heard")
    wait_until(lambda: bool(listening) and listening[-1]._rings["heard"] == 1, "the first to be heard")
    wait_until(lambda: listening[-1]._rings["in between"] == 1, "the second to be heard")
    broker.close()
