"""Control-C at every line: the lock is given up, and what goes on afterwards knows what the file says."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from distqueue_backends.json.backend import JsonBackend

from .support import HandClock, ack, claim, claimed, compact, fsck, opened, put, state_of, stored

pytestmark = pytest.mark.slow

_OURS: Final = "/distqueue_backends/"
_RELEASE: Final = "_lock.release()"
_GIVING_UP: Final = ("release", "close", "__exit__")
"""An interrupt in the very moment of giving something up is left to the interpreter's exit."""

STEP: Final = 3
"""Every third line; the whole is four times the same beginning and end, of which each takes other lines."""

type Action = Callable[[JsonBackend], object]


class Interruption:
    """Interrupts the backends' code at one of its lines."""

    def __init__(self, number: int) -> None:
        self._left = number

    @property
    def was_reached(self) -> bool:
        return self._left <= 0

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        """Count a line; called by the interpreter."""
        code = frame.f_code
        if _OURS not in code.co_filename or code.co_name in _GIVING_UP:
            return None
        if event == "line" and _RELEASE not in linecache.getline(code.co_filename, frame.f_lineno):
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt
        return self.trace


def interrupt(backend: JsonBackend, action: Action, number: int) -> bool:
    """Carry out an action with an interrupt at a line; tell whether there were so many lines."""
    interruption, before = Interruption(number), sys.gettrace()
    sys.settrace(interruption.trace)
    try:
        action(backend)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    assert not interruption.was_reached, "an interrupt was swallowed"
    return False


def a_batch(backend: JsonBackend) -> None:
    backend.apply([put("x"), put("y", group="g"), claim(2), ack("1.t.b"), put("z", delay=5)])


def news_of_others(backend: JsonBackend) -> None:
    """There are commits, one with many steps, that the backend does not know."""
    claimed(backend)


ACTIONS: Final[dict[str, Action]] = {
    "a batch": a_batch,
    "news of others": news_of_others,
    "its own compaction": lambda backend: compact(backend, [put("x")]),
    "a compaction of others": news_of_others,
}


def prepare(path: Path, clock: HandClock, name: str) -> JsonBackend:
    backend = JsonBackend(str(path))
    backend.clock = clock
    stored(backend, put("a"), put("b"), put("c", group="g"), put("d", unique="u"))
    claimed(backend, 2)
    if name.endswith("others"):
        with opened(path, clock) as other:
            stored(other, put("e"), put("f"))
            other.apply([ack("1.t.a"), put("g"), put("h", delay=0.001), claim(1, token="o")])  # noqa: S106
            if "compaction" in name:
                compact(other)
            stored(other, put("i"))
    return backend


@pytest.mark.parametrize("name", ACTIONS)
def test_after_an_interrupt_at_any_line_memory_and_file_agree(shm: Path, name: str) -> None:
    reached, number = True, sorted(ACTIONS).index(name) % STEP
    while reached:
        number += STEP
        path, clock = shm / f"{number}.json", HandClock()
        backend = prepare(path, clock, name)
        reached = interrupt(backend, ACTIONS[name], number)
        with opened(path, clock, lock_timeout=0) as fresh:  # at once: the lock has been given up
            assert state_of(fresh) == state_of(backend), number
            stored(backend, put("after"))
            stored(fresh, put("later"))
            clock.now += 31
            assert claimed(fresh, 9) != []
            assert state_of(fresh) == state_of(backend), number
        backend.close()
        assert fsck(path).is_sound, number
        for left in shm.iterdir():
            assert ".tmp-" not in left.name, number
            left.unlink()
    assert number > 50
