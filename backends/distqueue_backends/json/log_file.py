"""The file of one epoch: reading commits from it, appending to it, and its room ahead."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import Final

from distqueue.errors import OutcomeUnknown, StoreFailed
from distqueue_backends.json.commit import CommitBuilder
from distqueue_backends.json.format import CLOSE, Commit, Damaged, Header, decode_commit, first_of
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.where import payload_size, unpack

FIRST_CHUNK: Final = 8 * 1024
CHUNK: Final = 4 * 1024 * 1024
"""How many bytes are read at a time: first, as mostly little is new, and at most."""
ROOM: Final = 256 * 1024
"""How many bytes of blanks are laid ahead at least, so that most commits do not make the file grow."""
RESERVE: Final = 64 * 1024
"""How many of them only settling may use, so that a full disk can be worked off."""

_BLANKS: Final = b" " * ROOM
_MOST_AT_ONCE: Final = 64 * 1024 * 1024
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NoRoom(Exception):
    """The disk has no room for a commit; nothing of it was written."""


class LogFile:
    """An open ``Queue.json``. ``end`` is where the closing brackets are, ``size`` where the blanks end."""

    def __init__(self, fd: int, header: Header, start: int) -> None:
        self.fd = fd
        self.header = header
        self.start = self.end = start
        self.seq = 0
        self.measure()

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def measure(self) -> None:
        """Note how large the file is now. Not by ``stat``, which has a price: see ``DirectoryWatch``."""
        self.size = os.lseek(self.fd, 0, os.SEEK_END)

    def is_in_place(self, path: str) -> bool:
        """Whether the open file is still the one at ``path``."""
        try:
            return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    # --- Reading ----------------------------------------------------------------------------------

    def has_news(self) -> bool:
        """Whether anything but the closing brackets stands where the last known commit ends."""
        return os.pread(self.fd, len(CLOSE), self.end) != CLOSE

    def read_on(self, last: int | None = None) -> Iterator[tuple[Commit, bytes, int]]:
        """Read the commits behind the last known one: each with its line and the line's offset.

        ``end`` and ``seq`` move on with each commit. Ends at the closing brackets, or behind commit
        ``last``.

        Raises:
            Damaged: what follows is neither a commit nor the closing brackets.
        """
        buffer, base, at, chunk = b"", self.end, 0, FIRST_CHUNK
        while self.seq != last:
            lead = b",\n" if self.seq else b"\n"
            newline = buffer.find(b"\n", at + len(lead)) if not buffer.startswith(CLOSE, at) else at
            if newline < 0 or len(buffer) - at < len(CLOSE):
                more = os.pread(self.fd, chunk, base + len(buffer))
                if more:
                    buffer, base, at, chunk = buffer[at:] + more, base + at, 0, min(4 * chunk, CHUNK)
                    continue
                newline = len(buffer)
                if newline - at <= len(lead):
                    raise Damaged("the closing brackets are missing")
            if newline == at:
                return
            if not buffer.startswith(lead + b"{", at):
                raise Damaged("neither a commit nor the closing brackets follow")
            start = at + len(lead)
            line = buffer[start : newline - (buffer[newline - 1] == ord(","))]
            try:
                commit = decode_commit(line)
            except Damaged:
                line = first_of(line)  # what follows without a line break is the next to be read
                commit = decode_commit(line)
            if commit.seq != self.seq + 1:
                raise Damaged(f"commit {commit.seq} follows commit {self.seq}")
            yield commit, line, base + start
            at = start + len(line)
            self.seq = commit.seq
            self.end = base + at

    def payloads(self, entries: Sequence[Entry]) -> list[bytes]:
        """Return the payloads of tasks, with one read where they are near each other."""
        places = [entry.where for entry in entries if isinstance(entry.where, int)]
        if not places:
            return [entry.where for entry in entries if isinstance(entry.where, bytes)]
        first, end = unpack(min(places))[0], sum(unpack(max(places)))
        if end - first > min(4 * sum(map(payload_size, places)) + ROOM, _MOST_AT_ONCE):
            return [
                self._read(*unpack(entry.where)) if isinstance(entry.where, int) else entry.where
                for entry in entries
            ]
        block, found = self._read(first, end - first), []
        for entry in entries:
            if isinstance(place := entry.where, int):
                offset, size = unpack(place)
                found.append(block[offset - first : offset - first + size])
            else:  # put in this very commit
                found.append(place)
        return found

    def _read(self, offset: int, size: int) -> bytes:
        data = os.pread(self.fd, size, offset)
        while len(data) < size:
            more = os.pread(self.fd, size - len(data), offset + len(data))
            if not more:
                raise OSError(errno.EIO, "the file is shorter than it was")
            data += more
        return data

    # --- Writing ----------------------------------------------------------------------------------

    def make_room(self, bytes_ahead: int) -> bool:
        """Lay blanks ahead so that ``bytes_ahead`` fit; tell whether there was room on the disk."""
        missing = self.end + len(CLOSE) + bytes_ahead - self.size
        if missing <= 0:
            return True
        return self._grow(missing + ROOM) or self._grow(missing)

    def _grow(self, count: int) -> bool:
        try:
            written = 0
            while written < count:
                written += os.pwrite(self.fd, _BLANKS[: count - written], self.size + written)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise StoreFailed(f"the store cannot be written: {error}") from error
            os.ftruncate(self.fd, self.size)
            return False
        self.size += count
        return True

    def append(self, builder: CommitBuilder, at: float) -> None:
        """Write a commit over the closing brackets, in one write. It is durable after the next sync."""
        line, ops_at = builder.encode(self.seq + 1, at)
        lead = b",\n" if self.seq else b"\n"
        block = b"".join((lead, *line, CLOSE))
        if not self.make_room(len(block)):
            raise NoRoom
        self._write(block)
        for entry, place in zip(builder.entries, builder.places(self.end + len(lead) + ops_at)):
            entry.where = place
        self.seq += 1
        self.end += len(block) - len(CLOSE)
        self.size = max(self.size, self.end + len(CLOSE))

    def _write(self, block: bytes) -> None:
        try:
            written = os.pwrite(self.fd, block, self.end)
            while written < len(block):
                written += os.pwrite(self.fd, block[written:], self.end + written)
        except OSError as error:
            if error.errno in _NO_ROOM and self._take_back():
                raise NoRoom from error
            raise OutcomeUnknown(
                f"the store could not be written ({error}); the commands may or may not be stored: "
                "publish again with the same task ids"
            ) from error

    def _take_back(self) -> bool:
        """Let the file end where it ended before a write that came to nothing; tell whether it does."""
        try:
            os.ftruncate(self.fd, self.end)
            os.pwrite(self.fd, CLOSE, self.end)
        except OSError:
            return False
        self.measure()
        return True

    def sync(self) -> None:
        """Let everything written so far, by whomever, be on the disk."""
        os.fdatasync(self.fd)
