"""What to do with a file that does not end as it should: cut a torn tail, refuse damage.

A bad record with nothing valid behind it is a torn tail: a write that a crash cut short, which nobody
was told is done. A bad record with valid ones behind it is damage: what was acknowledged is gone,
and only a person may decide to go on without it (``distqueue fsck --repair``).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from distqueue.errors import StoreDamaged, UnsupportedFormat
from distqueue_backends.filesystem import read_all, write_aside
from distqueue_backends.json.format import CLOSE, Damaged, Header, Unlike, decode_header, number_of
from distqueue_backends.json.log_file import CHUNK, LogFile

_log: Final = logging.getLogger("distqueue")
_COMMIT_START: Final = b'\n{"crc":"'
MOST_HEADER: Final = 4096
_MOST_KEPT: Final = 64 * 1024 * 1024


def read_header(path: str, fd: int) -> tuple[Header, int]:
    """Return the header of an open file, and where it ends.

    Raises:
        StoreDamaged: it is damaged.
        UnsupportedFormat: the file is no store, or that of a newer distqueue.
    """
    try:
        return decode_header(os.pread(fd, MOST_HEADER, 0))
    except Unlike as fault:
        if first_commit(fd) is None:
            raise UnsupportedFormat(f"{path} cannot be opened: {fault}") from None
        raise _header_damaged(path, "it does not begin like one, but there are commits") from None
    except Damaged as damage:
        raise _header_damaged(path, str(damage)) from None
    except UnsupportedFormat as error:
        raise UnsupportedFormat(f"{path} cannot be opened: {error}") from None


def first_commit(fd: int) -> int | None:
    """Return where the line break before the first good commit is: for a header that cannot be read."""
    data = os.pread(fd, _MOST_KEPT, 0)
    return next((at - 1 for at, _ in _commits_in(data)), None)


def _header_damaged(path: str, how: str) -> StoreDamaged:
    return StoreDamaged(
        f"the header of {path} (byte 0) is damaged: {how}. Nothing was changed. "
        "`distqueue fsck --repair` keeps the bad bytes aside and goes on with the rest"
    )


def settle_tail(path: str, log: LogFile, fault: Damaged | None, *, trust_prefix: bool = False) -> None:
    """Let the file end after its last good commit, or refuse.

    ``fault`` is what reading on met, ``None`` if it met the closing brackets. With ``trust_prefix``,
    after a failed sync, nothing behind the fault was acknowledged, so it is cut even if it is valid.

    Raises:
        StoreDamaged: valid commits stand behind a bad record.
    """
    if os.fstat(log.fd).st_size < log.end:
        raise StoreDamaged(
            f"{path} was cut short while it was open, behind byte {log.end} of what was known. Nothing was "
            "changed. Restore it, or open it anew to go on with what is left of it"
        )
    if log.seq < log.header.snapshot:
        raise StoreDamaged(
            f"{path} is damaged at byte {log.end}: of the {log.header.snapshot} commits of its snapshot "
            f"only {log.seq} are there ({fault or 'it ends'}). Nothing was changed. "
            "`distqueue fsck --repair` keeps the bad bytes aside and goes on with the rest"
        )
    if fault is None:
        if tail := _strange_tail(log, log.end + len(CLOSE)):
            _cut(path, log, tail, "bytes that are not blanks stand behind the closing brackets")
        return
    later = _commit_behind(log)
    if later is not None and not trust_prefix:
        raise StoreDamaged(
            f"{path} is damaged at byte {log.end}: {fault}, but there are commits behind it (byte {later}). "
            "Nothing was changed. `distqueue fsck` tells more, `distqueue fsck --repair` keeps the bad bytes "
            "aside and goes on with the rest"
        )
    _cut(path, log, _strange_tail(log, log.end), str(fault))


def _strange_tail(log: LogFile, offset: int) -> bytes:
    """Return what stands behind ``offset``, without the blanks at its end."""
    tail, size = b"", os.fstat(log.fd).st_size
    while offset < size and len(tail) < _MOST_KEPT:
        chunk = os.pread(log.fd, CHUNK, offset)
        offset += len(chunk)
        tail += chunk
    return tail.rstrip(b" ")


def _cut(path: str, log: LogFile, tail: bytes, why: str) -> None:
    """Keep the tail aside and let the file end with the closing brackets."""
    if not tail.strip(b"\x00"):
        _log.warning("%s: it ended without its closing brackets (%s); they were written again", path, why)
    else:
        aside = write_aside(path, "torn", tail)
        _log.warning(
            "%s: a torn tail of %d bytes was cut off and kept in %s: %s", path, len(tail), aside, why
        )
    os.ftruncate(log.fd, log.end)
    os.pwrite(log.fd, CLOSE, log.end)
    os.fsync(log.fd)
    log.size = log.end + len(CLOSE)


def _commit_behind(log: LogFile) -> int | None:
    """Return where the first valid commit behind the last good one is, if there is any.

    A torn write holds no whole commit but its own first line, which would have been read.
    """
    data = read_all(log.fd, log.end)
    lead = 2 if log.seq else 1  # a comma and a line break, of which one may be what is bad
    if data[lead : lead + 1] == b"{":
        data = b",\n"[2 - lead :] + data[lead:]
    return next((log.end + at for at, seq in _commits_in(data) if seq > log.seq), None)


def _commits_in(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where commits begin at the beginning of a line, and their sequence numbers."""
    at = data.find(_COMMIT_START) + 1
    while at > 0:
        stop = data.find(b"\n", at)
        line = data[at : stop if stop >= 0 else len(data)]
        with suppress(Damaged):
            yield at, number_of(line.removesuffix(b","))
        at = data.find(_COMMIT_START, at) + 1
