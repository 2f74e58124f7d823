"""New children when the code changes, for development."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from logging import getLogger
from typing import Final

from distqueue.errors import ConfigError

_log: Final = getLogger("distqueue.worker")


class Reload:
    """Watches the Python files below the working directory in a thread; ``tell`` is called there on a change.

    Raises:
        ConfigError: watchfiles is not installed.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        if importlib.util.find_spec("watchfiles") is None:
            raise ConfigError("--reload needs watchfiles: pip install 'distqueue[reload]'")
        self._tell = tell
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="distqueue-reload", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        from watchfiles import PythonFilter, watch  # an extra

        for changes in watch(".", watch_filter=PythonFilter(), stop_event=self._closing, rust_timeout=500):
            _log.info("%s has changed: the app is imported again", min(path for _, path in changes))
            self._tell()
