"""The system calls of a process, as ``strace -f -y`` writes them down.

A call that another thread's interrupts is written in two parts. It is given twice then: when it begins,
and when it has done what it does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

CALLS: Final = (
    "openat,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate,"
    "fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,link,linkat,unlink,unlinkat"
)
"""The system calls that decide what a power cut leaves."""

_LINE: Final = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_WHOLE: Final = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)(?P<after>.*)")
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_UNFINISHED: Final = " <unfinished ...>"
_FD: Final = re.compile(r"(?P<number>\d+)<(?P<path>[^>]*)>")
_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FOLDER: Final = re.compile(r"(?:AT_FDCWD|\d+)<(?P<path>[^>]*)>")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that succeeded, or (``ended`` is 0) that has begun and is not through yet.

    ``began`` and ``ended`` are its places in the trace, counted from 1.
    """

    name: str
    arguments: str
    result: int
    after: str
    began: int
    ended: int

    @property
    def fd(self) -> int:
        """The descriptor that is its first argument, ``-1`` if that is none."""
        found = _FD.match(self.arguments)
        return int(found["number"]) if found is not None else -1

    @property
    def path(self) -> str:
        """The path of the descriptor that is its first argument, empty if that is none."""
        found = _FD.match(self.arguments)
        return found["path"] if found is not None else ""

    @property
    def opened(self) -> str:
        """The path of the descriptor that it returned."""
        found = re.match(r"<([^>]*)>", self.after)
        return found[1] if found is not None else ""

    @property
    def named(self) -> list[str]:
        """The paths that are its arguments as text, absolute where the trace tells what they start from."""
        folders = [found["path"] for found in _FOLDER.finditer(self.arguments)]
        paths = _TEXT.findall(self.arguments)
        folders += [os.getcwd()] * len(paths)
        return [os.path.normpath(os.path.join(folder, path)) for folder, path in zip(folders, paths)]


@dataclass(slots=True)
class Reader:
    """Reads the lines of a trace, of which some calls are still unfinished."""

    place: int = 0
    unfinished: dict[str, tuple[int, str]] = field(default_factory=dict)

    def calls(self, lines: Iterable[str]) -> Iterator[Call]:
        """Yield the calls that succeeded, in the order in which they ended, and what begins in between."""
        for line in lines:
            self.place += 1
            if (found := _LINE.match(line)) is not None:
                yield from self._take(found["pid"], found["rest"])

    def _take(self, pid: str, text: str) -> Iterator[Call]:
        began = self.place
        if text.endswith(_UNFINISHED):
            text = text.removesuffix(_UNFINISHED)
            self.unfinished[pid] = (began, text)
            name, _, arguments = text.partition("(")
            yield Call(name, arguments, 0, "", began, 0)
            return
        if (resumed := _RESUMED.match(text)) is not None:
            began, begin = self.unfinished.pop(pid, (began, ""))
            text = begin + resumed["rest"]
        whole = _WHOLE.match(text)
        if whole is not None and int(whole["result"]) >= 0:
            yield Call(
                whole["name"], whole["arguments"], int(whole["result"]), whole["after"], began, self.place
            )


def cannot_trace() -> str | None:
    """Say why system calls cannot be traced here, ``None`` if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = [*tracing(os.devnull), "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"strace may not trace here: {done.stderr.strip()[:200]}"


def tracing(file: str, *expressions: str) -> Sequence[str]:
    """Return the command under which a program runs with its calls traced into a file.

    The program keeps the process id that it would have had. ``expressions`` are more of strace's ``-e``.
    """
    more = [word for expression in expressions for word in ("-e", expression)]
    if not more:
        more = ["--seccomp-bpf"]  # faster, but strace 6.1 sends no injected signal then
    return [
        "strace",
        "-D",
        "-f",
        "-y",
        "-s",
        "64",
        "-o",
        file,
        "-e",
        f"trace={CALLS}",
        *more,
    ]
