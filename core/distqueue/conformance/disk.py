"""What of a store's files is not on the disk yet, seen in the system calls of those who write them.

    disk = Disk(holds_tasks, there=files_in(directory))
    broken = disk.follow(trace, is_answer=lambda call: call.name == "write" and call.fd == 1)

A power cut takes what was written and not synced, and the names that were made in a directory and not
synced with it. Nothing may be answered for while it could.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from distqueue.conformance.syscalls import Call, Reader

_WRITES: Final = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate")
_SYNCS: Final = ("fsync", "fdatasync")
_RENAMES: Final = ("rename", "renameat", "renameat2", "link", "linkat")
_REMOVALS: Final = ("unlink", "unlinkat")
_CREATES: Final = ("openat", "creat")


@dataclass(slots=True)
class Disk:
    """Follows the calls of one process after another.

    ``holds_tasks`` says of a path whether its content counts, ``there`` are the files and directories
    that were on the disk before.
    """

    holds_tasks: Callable[[str], bool]
    there: set[str] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)
    """The files with content that is not synced, and the place in the trace where it was written last."""
    named: dict[str, int] = field(default_factory=dict)
    """The files and directories whose name is not synced."""
    answers: int = 0
    """How often somebody was answered."""
    syncs: int = 0
    """How often something that counts was synced."""
    _reader: Reader = field(default_factory=Reader)
    _writes_through: set[str] = field(default_factory=set)

    def follow(self, trace: Iterable[str], is_answer: Callable[[Call], bool]) -> list[str]:
        """Take in the lines of a trace, and return what is wrong in it."""
        broken: list[str] = []
        self._reader.unfinished.clear()  # of a process that is gone
        for call in self._reader.calls(trace):
            if not is_answer(call):
                broken += self._take(call) if call.ended else ()
            elif call.ended in (0, call.began):  # it is out from its beginning on
                self.answers += 1
                broken += [f"answer {self.answers} came before {each}" for each in self.at_risk()]
        return broken

    def at_risk(self) -> Iterator[str]:
        """Yield what a power cut would take now."""
        for path in self.written:
            yield f"the sync of what was written to {path}"
        for path in self.named:
            if self._counts(path):
                yield f"the sync of {os.path.dirname(path)}, in which {os.path.basename(path)} is new"

    def _counts(self, path: str) -> bool:
        """Whether a file holds tasks, or a directory files that do."""
        if self.holds_tasks(path):
            return True
        return any(each.startswith(f"{path}/") and self.holds_tasks(each) for each in self.there)

    def _take(self, call: Call) -> list[str]:
        if call.name in _WRITES:
            if self.holds_tasks(call.path) and call.path not in self._writes_through:
                self.written[call.path] = call.ended
        elif call.name in _SYNCS:
            self._sync(call)
        elif call.name in _CREATES:
            self._open(call)
        elif call.name in ("mkdir", "mkdirat"):
            self._name(call.named[0], call)
        elif call.name in _RENAMES:
            return self._rename(call)
        elif call.name in _REMOVALS:
            self._forget(call.named[0])
        elif call.name in ("sync", "syncfs"):
            self._sync_all(call)
        return []

    def _sync(self, call: Call) -> None:
        """Note what is on the disk: what was done before the sync began, and not while it ran."""
        if self.written.get(call.path, call.began) < call.began:
            del self.written[call.path]
            self.syncs += 1
        for path in [each for each in self.named if os.path.dirname(each) == call.path]:
            if self.named[path] < call.began:
                del self.named[path]

    def _sync_all(self, call: Call) -> None:
        for done in (self.written, self.named):
            for path in [each for each, place in done.items() if place < call.began]:
                del done[path]

    def _open(self, call: Call) -> None:
        path = call.opened
        if "O_SYNC" in call.arguments or "O_DSYNC" in call.arguments:
            self._writes_through.add(path)
        if "O_TRUNC" in call.arguments and path in self.there and self.holds_tasks(path):
            self.written[path] = call.ended
        if ("O_CREAT" in call.arguments or call.name == "creat") and path not in self.there:
            self._name(path, call)

    def _name(self, path: str, call: Call) -> None:
        self.there.add(path)
        self.named[path] = call.ended

    def _rename(self, call: Call) -> list[str]:
        source, target = call.named[:2]
        was_written = self.written.pop(source, None)
        if "link" not in call.name:
            self._forget(source)
        self.written.pop(target, None)
        self._name(target, call)
        if was_written is None or not self.holds_tasks(target):
            return []
        self.written[target] = was_written
        return [f"{target} was replaced by {source} before the sync of what was written to that"]

    def _forget(self, path: str) -> None:
        self.there.discard(path)
        self.written.pop(path, None)
        self.named.pop(path, None)


def files_in(directory: str) -> set[str]:
    """Return a directory, and the paths of all that is in it."""
    found = {directory}
    for folder, folders, files in os.walk(directory):
        found.update(os.path.join(folder, name) for name in (*folders, *files))
    return found
