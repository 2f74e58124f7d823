"""The pages of the documentation, and the files and commands that are printed there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    """Return a page, by its path from the root of the repository."""
    return (ROOT / name).read_text()


def files(text: str) -> dict[str, str]:
    """Return the files that a page shows; a comment before each gives its name, the last one counts."""
    return dict(re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))


def links(text: str) -> list[str]:
    """Return the paths of the files that a page links."""
    return [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
