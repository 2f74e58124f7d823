"""distqueue in PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from benchmarks.postgresql.databases import Entry
from distqueue.bench.contender import Distqueue


def install(url: str) -> None:
    """Make the tables."""
    subprocess.run([sys.executable, "-m", "distqueue", "migrate", "-u", url], check=True, capture_output=True)


OURS: Final = Entry("distqueue", install, Distqueue)
