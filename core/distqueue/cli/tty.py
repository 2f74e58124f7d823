"""Whether somebody looks at a terminal that can show a screen."""

from __future__ import annotations

import os
from typing import TextIO


def can_draw(stream: TextIO) -> bool:
    """Whether a screen can be drawn here: on a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
