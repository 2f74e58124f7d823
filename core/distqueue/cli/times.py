"""Times that are typed."""

from __future__ import annotations

from datetime import datetime

import typer

from distqueue.times import epoch


def typed_time(option: str, text: str) -> float:
    """Return the ISO 8601 time with its time zone that an option has, in seconds since the Unix epoch.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return epoch("the time", datetime.fromisoformat(text))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r:.80} is not a time with its time zone, such as 2030-01-31T08:00:00+01:00",
            param_hint=option,
        ) from error
