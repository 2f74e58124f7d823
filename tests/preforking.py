"""A server that loads its application before it forks, on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server(
    application: str, folder: Path, *options: str, workers: int, **environment: str
) -> Iterator[tuple[int, str]]:
    """Run gunicorn in a folder, with the application loaded before the fork; give its pid and its address."""
    log = folder / "gunicorn.log"
    log.touch()
    command = [sys.executable, "-m", "gunicorn", "--preload", f"--workers={workers}", "--bind=127.0.0.1:0"]
    command += ["--no-control-socket", f"--log-file={log}", *options, application]
    with subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}) as process:
        try:
            lines = _lines(log, process.pid)
            address = next(line for line in lines if "Listening at:" in line).split("Listening at: ")[1]
            booted = (line for line in lines if "Booting worker" in line)
            for _ in range(workers):
                next(booted)
            yield process.pid, address.split()[0]
        finally:
            process.terminate()


def _lines(log: Path, pid: int) -> Iterator[str]:
    """Give out what is logged until the process ends."""
    with subprocess.Popen(
        ["tail", "-n", "+1", f"--pid={pid}", "-f", str(log)], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        try:
            yield from tail.stdout
        finally:
            tail.kill()
