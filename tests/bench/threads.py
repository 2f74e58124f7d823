"""A broker's service in a thread of the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from distqueue.broker.service import Service


@contextmanager
def serving(service: Service) -> Iterator[None]:
    """Let it serve until the block ends."""
    thread = Thread(target=service.server.run)
    thread.start()
    try:
        yield
    finally:
        service.server.stop()
        thread.join()
        service.close()
