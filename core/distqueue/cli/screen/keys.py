"""Keys, as they are pressed: without Enter, and without being shown."""

from __future__ import annotations

import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NAMES: Final = {
    "\x1b[A": "k",
    "\x1bOA": "k",
    "\x1b[B": "j",
    "\x1bOB": "j",
    "\x1b": "escape",
}
"""What the keys that send more than a letter stand for: the arrows are ``k`` and ``j``."""


@contextmanager
def key_by_key(terminal: int) -> Iterator[None]:
    """Let keys be read one by one from a terminal, until the block ends; Ctrl-C works as before."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def pressed(terminal: int, timeout: float) -> list[str]:
    """Return the keys that are pressed next, none if none is within so many seconds.

    Raises:
        EOFError: the terminal has gone.
    """
    if not select.select([terminal], [], [], timeout)[0]:
        return []
    typed = os.read(terminal, 1024).decode(errors="replace")
    if not typed:
        raise EOFError
    return list(_keys(typed))


def _keys(typed: str) -> Iterator[str]:
    while typed:
        known = next((sent for sent in _NAMES if typed.startswith(sent)), typed[0])
        yield _NAMES.get(known, known)
        typed = typed[len(known) :]
