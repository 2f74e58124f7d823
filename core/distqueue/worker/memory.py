"""How much memory this process takes."""

from __future__ import annotations

import os
import resource
import sys
from typing import Final

_STATM: Final = "/proc/self/statm"


def resident_bytes() -> int:
    """Return the memory that this process uses, in bytes; where that cannot be known, the most so far."""
    if os.path.exists(_STATM):
        with open(_STATM, "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
