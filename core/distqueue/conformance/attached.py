"""A run that belongs to a command: its process ends with the command, and when all tests have ended."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from contextlib import suppress
from typing import Final

import pytest

LAST_SECONDS: Final = 10.0
"""How long a run may go on when its command is gone, to end what its tests have started."""


class Attached:
    """Ends the process of a run; ``alive`` is the end of a pipe that hears of the end of the command.

    Nobody writes into that pipe, so that there is something to read only when nobody holds its other end.
    """

    def __init__(self, alive: int, config: pytest.Config) -> None:
        self._alive = alive
        self._directory = config.rootpath
        self._main = threading.get_ident()
        self._is_alone = False
        self._exit: int = pytest.ExitCode.INTERNAL_ERROR
        threading.Thread(target=self._end_with_the_command, name="distqueue-attached", daemon=True).start()

    def _end_with_the_command(self) -> None:
        os.read(self._alive, 1)
        self._is_alone = True
        signal.pthread_kill(self._main, signal.SIGINT)
        threading.main_thread().join(LAST_SECONDS)
        self._clean_up()
        os._exit(pytest.ExitCode.INTERRUPTED)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Note the exit code."""
        self._exit = exitstatus

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """End without those threads that a backend has left, and that Python would wait for."""
        if self._is_alone:
            self._clean_up()
        own = threading.current_thread()
        left = [each.name for each in threading.enumerate() if each is not own and not each.daemon]
        if left:
            with suppress(OSError):  # whoever would read it may be gone
                print(f"threads that were left are not waited for: {', '.join(left)}", file=sys.stderr)
                sys.stdout.flush()
            os._exit(self._exit)

    def _clean_up(self) -> None:
        """Remove what the command would have removed."""
        shutil.rmtree(self._directory, ignore_errors=True)
