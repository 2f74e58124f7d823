"""What of a store a power cut could take away, followed through a trace of system calls."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Final

CALLS: Final = (
    "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,ftruncate,fallocate,"
    "rename,renameat,renameat2,link,linkat"
)
"""The calls that have to be in the trace, as strace's ``-e trace=`` takes them."""

_LINE: Final = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_WHOLE: Final = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_BEGUN: Final = re.compile(r"(?P<call>\w+)\((?P<arguments>.*) <unfinished \.\.\.>")
_ENDED: Final = re.compile(r"<\.\.\. \w+ resumed>.*\) += (?P<result>-?\d+)")
_FD: Final = re.compile(r"(?P<number>\d+)<(?P<path>[^>]*)>")
_OPENED: Final = re.compile(r"-?\d+<(?P<path>[^>]*)>")
_NAMES: Final = re.compile(r'(?:(?:AT_FDCWD|\d+)(?:<(?P<directory>[^>]*)>)?, )?"(?P<name>[^"]*)"')


class Disk:
    """Follows the trace of a process that answers on its standard output, begun before it opened its store.

    ``holds_tasks`` tells the files that count. What is written to them, and the names that they get, is at
    risk until it is synced; :attr:`broken` says what was answered while something was.
    """

    def __init__(self, holds_tasks: Callable[[str], bool]) -> None:
        self._holds_tasks = holds_tasks
        self._begun: dict[str, tuple[str, str]] = {}
        self._known: set[str] = set()
        self.at_risk: set[str] = set()
        """Files and directories with what a power cut could take away."""
        self.answers = 0
        """How often something was answered."""
        self.syncs = 0
        """How often something that was at risk was synced."""
        self.broken: list[str] = []
        """What was wrong, a line each."""

    def follow(self, trace: Iterable[str]) -> None:
        """Follow the lines of ``strace -f -y``."""
        for line in trace:
            if (match := _LINE.match(line)) is not None:
                self._line(match["pid"], match["rest"])

    def _line(self, pid: str, rest: str) -> None:
        if (begun := _BEGUN.match(rest)) is not None:
            self._begun[pid] = begun["call"], begun["arguments"]
            self._begin(begun["call"], begun["arguments"])
        elif (ended := _ENDED.match(rest)) is not None and pid in self._begun:
            call, arguments = self._begun.pop(pid)
            if int(ended["result"]) >= 0:
                self._end(call, arguments, rest)
        elif (whole := _WHOLE.match(rest)) is not None:
            self._begin(whole["call"], whole["arguments"])
            if int(whole["result"]) >= 0:
                self._end(whole["call"], whole["arguments"], rest)

    def _begin(self, call: str, arguments: str) -> None:
        """Take in that a call has begun: an answer is out from then on."""
        fd = _FD.match(arguments)
        if call == "write" and fd is not None and fd["number"] == "1":
            self.answers += 1
            if self.at_risk:
                names = ", ".join(sorted(os.path.basename(path) or path for path in self.at_risk))
                self.broken.append(f"answer {self.answers} was given before a sync of {names}")

    def _end(self, call: str, arguments: str, line: str) -> None:
        """Take in that a call has done what it does."""
        fd = _FD.match(arguments)
        if call in ("fsync", "fdatasync"):
            self._sync(fd["path"] if fd is not None else "")
        elif call in ("open", "openat", "creat"):
            self._open(arguments, line)
        elif call.startswith(("rename", "link")):
            self._rename(call, arguments)
        elif fd is not None and self._holds_tasks(fd["path"]):
            self.at_risk.add(fd["path"])

    def _sync(self, path: str) -> None:
        if path in self.at_risk:
            self.at_risk.discard(path)
            self.syncs += 1

    def _open(self, arguments: str, line: str) -> None:
        opened = _OPENED.search(line.rpartition(" = ")[2])
        if opened is None or not self._holds_tasks(opened["path"]):
            return
        path = opened["path"]
        if path not in self._known and "O_CREAT" in arguments:
            self.at_risk.add(os.path.dirname(path))
        self._known.add(path)

    def _rename(self, call: str, arguments: str) -> None:
        source, target = [
            os.path.join(match["directory"] or "", match["name"]) for match in _NAMES.finditer(arguments)
        ]
        if not self._holds_tasks(target):
            return
        if source in self.at_risk:
            self.broken.append(f"{os.path.basename(target)} got its name before its content was synced")
        if call.startswith("rename"):
            self.at_risk.discard(source)
        self._known.add(target)
        self.at_risk.discard(target)  # what was there goes with its name
        self.at_risk.add(os.path.dirname(target))
