"""Movers that die or alter what they carry, and the stores that they move between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from distqueue.broker import Broker
from distqueue.commands import (
    Browse,
    Command,
    LoadTask,
)
from distqueue.results import Outcome
from distqueue.transfer.ends import End
from distqueue.transfer.moving import move_store
from tests.conformance_suite.broken import Wrapper

from .conftest import Store, fences

SHARDED = [("sharded-json", "json"), ("json", "sharded-json"), ("sharded-json", "sharded-json")]
SHARDED += [("sharded-json", "postgresql")]


class Killed(Exception):
    """What stands for a kill."""


class Mortal(Wrapper):
    """Dies of a call, which is drawn from those of both ends: it was carried out, and its answer is lost.

    To die before a call leaves what to die after the one before leaves.
    """

    def __init__(self, inner: Broker, calls: Iterator[int], dies_at: int) -> None:
        super().__init__(inner)
        self._calls, self._dies_at = calls, dies_at

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = self.inner.apply(commands)
        if next(self._calls) == self._dies_at:
            raise Killed
        return outcomes


class Alters(Wrapper):
    """Changes what is loaded."""

    def __init__(self, inner: Broker, change: Callable[[LoadTask], LoadTask]) -> None:
        super().__init__(inner)
        self._change = change

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self.inner.apply([self._change(x) if isinstance(x, LoadTask) else x for x in commands])


def end(store: Store) -> End:
    return End(store.broker, store.url)


def move(source: Store, target: Store, queues: Sequence[str] | None = None, **options: Any) -> Any:
    return move_store(end(source), end(target), queues, **options)


def killed_at_every_third_call(
    source: Store, target: Store, content: Callable[[Store], object], first: int
) -> tuple[Store, Store]:
    """Move to and fro, killed three calls later each time and finished; return where all is in the end.

    Other pairs of stores begin at another ``first`` call, so that each call is one at which some move dies.
    """
    before = content(source)
    for dies_at in count(first % 3, 3):
        calls = count()
        ends = [End(Mortal(each.broker, calls, dies_at), each.url) for each in (source, target)]
        try:
            move_store(ends[0], ends[1], now=True)
            break
        except Killed:
            assert content(source) == before
            move(source, target, now=True)
            assert content(target) == before
            assert fences(target) == {}
        source, target = target, source  # and back again
    assert content(target) == before
    assert dies_at > 15
    return source, target


def halfway(source: Store, target: Store) -> None:
    """Let a move die when it compares what it has copied."""
    with pytest.raises(Killed):
        move_store(end(source), End(DiesAtTheEnd(target.broker), target.url), now=True)
    assert set(fences(source).values()) == {"draining", "frozen"}


class DiesAtTheEnd(Wrapper):
    """Dies when it is asked for what it was given."""

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if isinstance(commands[0], Browse):
            raise Killed
        return self.inner.apply(commands)
