"""A report as a picture: bars in an SVG that is readable on light and on dark ground."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import Final
from xml.sax.saxutils import escape

from distqueue.bench.groups import Group, Row, groups, skipped
from distqueue.bench.report import BenchReport
from distqueue.errors import ConfigError

_START: Final = "<svg "
_WIDTH: Final = 900
_LEFT, _BAR = 380, 250
_LINE, _GAP = 22, 18
_CHARACTERS: Final = 42
"""So many letters of a name fit before its bar."""
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}.small{font-size:11px;fill:#666}"
    ".ground{fill:#fff}.bar{fill:#2b7bba}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.small{fill:#999}.ground{fill:#111}.bar{fill:#5aa9e6}}"
)


def svg(report: BenchReport) -> str:
    """Return the picture of a report."""
    drawn = _Drawing()
    versions, machine = report.versions, report.machine
    for group in groups(report):
        drawn.group(group)
    for line in skipped(report):
        drawn.small(f"left out: {line}")
    drawn.small(
        f"distqueue {versions.distqueue}, CPython {versions.python}, SQLite {versions.sqlite}; "
        f"{machine.cores} cores, {machine.system}, {machine.file_system or 'no file system'}; {report.date}; "
        f"medians of {report.rounds} rounds"
    )
    return drawn.whole()


def check_plot(path: str) -> None:
    """Refuse a path at which no picture can be written, before anything is measured.

    Raises:
        ConfigError: its directory is not there, or something else than an SVG is at the path.
    """
    directory = os.path.dirname(path) or os.curdir
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
        raise ConfigError(f"{path} cannot be written: {directory} is not a directory to write into")
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        with open(path, "rb") as file:
            if file.read(len(_START)) in (b"", _START.encode()):
                return
    raise ConfigError(f"{path} is there and is no SVG; remove it first, or use another path")


def write_plot(path: str, report: BenchReport) -> None:
    """Write the picture; an older one is replaced as a whole.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    temporary = f"{path}.tmp-{secrets.token_hex(8)}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(svg(report))
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


class _Drawing:
    """Puts one line below the other."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._y = _GAP

    def group(self, group: Group) -> None:
        self._y += _GAP
        self._text(16, f"{group.title} ({group.unit})", "title")
        for row in group.rows:
            self._y += _LINE
            self._row(row, row.value / group.longest if group.longest else 0.0)
        for note in group.notes:
            self.small(note)
        self._y += _GAP

    def small(self, text: str) -> None:
        self._y += _GAP
        self._text(16, text, "small")

    def whole(self) -> str:
        height = self._y + _GAP
        return (
            f'{_START}xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" role="img">\n<style>{_STYLE}</style>\n'
            f'<rect class="ground" width="{_WIDTH}" height="{height}"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )

    def _row(self, row: Row, part: float) -> None:
        self._text(16, _fitting(row.name), "")
        self._text(_LEFT - 14, row.durability, "small", anchor="end")
        width = max(1.0, part * _BAR)
        self._parts.append(
            f'<rect class="bar" x="{_LEFT}" y="{self._y - 12}" width="{width:.1f}" height="15" rx="2"/>'
        )
        self._text(_LEFT + int(width) + 8, f"{row.shown}  {row.ratio}  p50 {row.p50}, p99 {row.p99}", "small")

    def _text(self, x: int, text: str, kind: str, anchor: str = "start") -> None:
        shown = escape("".join(char if char.isprintable() else "?" for char in text))
        self._parts.append(
            f'<text x="{x}" y="{self._y}" class="{kind}" text-anchor="{anchor}">{shown}</text>'
        )


def _fitting(name: str) -> str:
    return name if len(name) <= _CHARACTERS else f"…{name[1 - _CHARACTERS :]}"
