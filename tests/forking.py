"""Work in a forked process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable


def in_child(work: Callable[[], object]) -> None:
    """Run something in a forked process, and fail unless it returns."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the exit status tells
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
