"""``move`` killed with SIGKILL in the middle, again and again: the same command always finishes it.

Eighty kills: ``DISTQUEUE_MOVE_KILLS=10 pytest tests/cli/test_move_killed.py``
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from distqueue.commands import Ack, Put
from distqueue.outcomes import expect
from distqueue.results import Settled, Stored
from distqueue.task import TaskRecord
from tests.servers.chosen import new_store, postgres_url
from tests.transfer.conftest import LONG, Store, everything, fences

from .conftest import Shell

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("DISTQUEUE_MOVE_KILLS", "1"))
"""So many for each pair of stores; tests/transfer kills movers of the same stores at every call."""
PAIRS = {
    "json to sqlite": ("json", "sqlite", ""),
    "json to json": ("json", "json", ""),
    "sqlite to sqlite": ("sqlite", "sqlite", ""),
    "another number of shards": ("sharded-json", "sharded-json", ""),
    "a broker process serves the one": ("json", "sqlite", "one"),
    "json to postgresql": ("json", "postgresql", ""),
    "postgresql to another schema": ("postgresql", "postgresql", ""),
    "broker processes serve both": ("sqlite", "json", "one other"),
}


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = Store(url)
    try:
        yield store
    finally:
        store.broker.close()


def fill(url: str) -> None:
    """Bring tasks into every state, and enough of them that a move takes a while."""
    with opened(url) as store:
        store.fill()
        store.put(*[f"many{number}" for number in range(3000)], queue="many", data="x" * 300)
        leases = store.claim(1500, "many")
        for outcome in store.do(*[Ack(queue="many", receipt=each.receipt) for each in leases[:1000]]):
            expect(outcome, Settled)


def content(url: str) -> dict[str, list[Any]]:
    """Return all that there is; shards number their tasks each for itself, and so have no order together."""
    with opened(url) as store:
        found: dict[str, list[Any]] = everything(store)
    if url.startswith("sharded-json:"):
        for queue, (*records, is_paused) in found.items():
            alike = [replace(each, number=0) if isinstance(each, TaskRecord) else each for each in records]
            found[queue] = [*sorted(alike, key=lambda each: str(each.task_id)), is_paused]
    return found


def differences(found: dict[str, list[Any]], wanted: dict[str, list[Any]]) -> list[str]:
    """Return the first few differences of two contents, and how many there are."""
    pairs = [(queue, *pair) for queue in wanted for pair in zip_longest(found.get(queue, []), wanted[queue])]
    differing = [f"{queue}: {one} instead of {other}" for queue, one, other in pairs if one != other]
    more = set(found) - set(wanted)
    return differing[:3] + [f"{len(differing)} in all"] * bool(differing) + sorted(more)


def url_of(scheme: str, path: Path, shards: int, stack: ExitStack) -> str:
    """Return the URL of a new store, which remembers ids for longer than a test with many kills takes."""
    if scheme == "postgresql":
        url = stack.enter_context(new_store(postgres_url()))
        return f"{url}&dedup_window={LONG}"
    return f"{scheme}:///{path}?dedup_window={LONG}" + (
        f"&shards={shards}" if scheme == "sharded-json" else ""
    )


def is_in_the_middle(source: str, target: str) -> bool:
    """Whether a move has begun and not finished."""
    with opened(source) as one, opened(target) as other:
        here, there = fences(one), fences(other)
    return bool(here) and (set(here.values()) != {"moved"} or bool(there))


class Moments:
    """Draws when to kill a move, and learns from where that was too early or too late; in seconds."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._first, self._last = 0.2, 1.0

    def next(self) -> float:
        return self._random.uniform(self._first, self._last)

    def was_early(self, at: float) -> None:
        self._first = min(at + 0.01, self._last - 0.05)
        self._last = max(self._last + 0.02, at * 1.25)

    def was_late(self, at: float) -> None:
        self._last = max(at - 0.01, self._first + 0.05)
        self._first = max(self._first - 0.02, 0.05)


def killed_after(shell: Shell, seconds: float, *arguments: str) -> bool:
    """Run a command and kill it after a while; return whether it was still running."""
    child = shell.start(*arguments)
    try:
        child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
    return child.returncode == -signal.SIGKILL


def serve(shell: Shell, url: str, stack: ExitStack, *options: str) -> None:
    """Let a broker process serve a store until the stack unwinds."""
    child = shell.start("serve", "-u", url, *options)
    assert child.stderr
    while "serving" not in (line := child.stderr.readline()):
        assert line, "it did not start"
    stack.callback(child.wait)
    stack.callback(child.terminate)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pair", PAIRS)
def test_a_move_killed_in_the_middle_is_finished_by_the_same_command(
    shell: Shell, tmp_path: Path, pair: str
) -> None:
    one, other, served = PAIRS[pair]
    moments, kills, tries = Moments(pair), 0, 0
    with ExitStack() as stack:
        source = url_of(one, tmp_path / "one", 3, stack)
        target = url_of(other, tmp_path / "other", 5, stack)
        fill(source)
        before = content(source)
        before_out = {
            each.task_id for each in before["many"][:-1] if getattr(each, "state", None) == "leased"
        }
        for name, url in (("one", source), ("other", target)):
            if name in served.split():
                serve(shell, url, stack)
        while kills < KILLS:
            tries += 1
            assert tries < 50 * KILLS, f"only {kills} of {tries} kills came in the middle"
            at = moments.next()
            was_killed = killed_after(shell, at, "move", source, target, "--now")
            if was_killed and not is_in_the_middle(source, target):
                with opened(source) as store:
                    was_early = not fences(store)
                moments.was_early(at) if was_early else moments.was_late(at)
                if was_early:
                    continue
            elif not was_killed:
                moments.was_late(at)
            else:
                kills += 1
                assert differences(content(source), before) == []
                shell("move", source, target, "--now")
            assert differences(content(target), before) == []
            source, target = target, source
        with opened(source) as store:
            assert fences(store) == {}
            known = [each.task_id for each in before["many"][:-1]]
            again = [
                Put(queue="many", task_id=each, data=b"1")
                for each in (known[0], known[1500], known[-1], known[-1000])
            ]
            assert [type(each).__name__ for each in store.do(*again)] == ["PayloadMismatch"] * 4
            expect(store.do(Put(queue="many", task_id="new", data=b"1"))[0], Stored)
            line = [each.task_id for each in store.claim(2000, "many")]
            left = [each.task_id for each in before["many"][:-1] if isinstance(each, TaskRecord)]
            waiting = [each for each in left if each not in before_out] + ["new"]
            assert line == waiting if "sharded-json" not in PAIRS[pair] else sorted(line) == sorted(waiting)
