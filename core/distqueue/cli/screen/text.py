"""How screens write times, rates and texts."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from distqueue.cli.output import clean


def plain(text: str, style: str = "") -> Text:
    """Return text that is shown as it is, on one line, whatever is in it."""
    return Text(clean(" ".join(text.split())), style=style, no_wrap=True, overflow="ellipsis")


def table(*columns: str, numbers: tuple[str, ...] = (), widest: str | None = None) -> Table:
    """Return a table whose cells have one line each; those of the columns ``numbers`` are to the right.

    ``widest`` is the column that takes what room there is, and is cut first.
    """
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=widest is not None)
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in numbers else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column == widest else None,
        )
    return made


def shown_span(seconds: float) -> str:
    """Return how long something takes: ``3.2 s``, ``4m 05s``, ``2h 10m``, ``3d 4h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours < 24 else f"{hours // 24}d {hours % 24}h"


def shown_rate(rate: float | None) -> str:
    """Return a rate a second; nothing if it is not known yet."""
    return "" if rate is None else f"{rate:,.1f}/s"
