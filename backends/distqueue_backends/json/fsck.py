"""Examining a ``Queue.json`` line by line, and going on with what is good in a damaged one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Final

import msgspec

from distqueue.backend import Fsck
from distqueue.errors import UnsupportedFormat
from distqueue_backends.filesystem import open_regular, read_all, write_aside
from distqueue_backends.json.compaction import compact
from distqueue_backends.json.format import (
    CLOSE,
    Commit,
    Damaged,
    Header,
    Unfit,
    Unlike,
    decode_commit,
    decode_header,
    first_of,
    this_version,
)
from distqueue_backends.json.log_file import LogFile
from distqueue_backends.json.recovery import MOST_HEADER, first_commit
from distqueue_backends.json.replay import Replay
from distqueue_backends.table.clock import SharedClock
from distqueue_backends.table.queue_table import QueueTable

_NO_BREAK: Final = "something else than a line break stands here"


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line of the file: the commit in it, or what is wrong with it."""

    offset: int
    data: bytes
    commit: Commit | None
    fault: str | None


def check(path: str) -> Fsck:
    """Tell what is wrong with a store. The lock is held."""
    fd = open_regular(path)
    try:
        findings: list[str] = []
        header, start = _header(fd, findings)
        tables: dict[str, QueueTable] = {}
        replay = Replay(tables, _new_table)
        seq = 0
        for line in _lines(fd, start):
            seq = line.commit.seq if line.commit is not None else seq
            fault = line.fault
            if line.commit is not None and not findings:
                fault = _take(replay, line)
            if fault is not None:
                findings.append(f"byte {line.offset}: {fault} ({len(line.data)} bytes)")
        findings += _tail(fd)
        if seq < header.snapshot and not findings:
            findings.append(f"only {seq} of the {header.snapshot} commits of its snapshot are there")
    finally:
        os.close(fd)
    return Fsck(is_sound=not findings, findings=findings)


def repair(path: str) -> Fsck:
    """Keep what is bad aside, and write what is good into a new file. The lock is held."""
    report = check(path)
    if report.is_sound:
        return report
    fd = open_regular(path)
    try:
        findings: list[str] = []
        header, start = _header(fd, findings)
        tables: dict[str, QueueTable] = {}
        replay = Replay(tables, _new_table, lenient=True)
        bad = [os.pread(fd, start, 0)] if findings else []
        for line in _lines(fd, start):
            if line.commit is not None:
                replay.commit(line.commit, line.data, line.offset)
            else:
                bad.append(line.data)
        aside = write_aside(path, "damaged", b"\n".join(bad)) if bad else None
        log = LogFile(fd, header, start)
        compact(path, log, tables, SharedClock().wall()).close()
    finally:
        os.close(fd)
    return Fsck(is_sound=True, findings=report.findings, kept_aside=aside)


def _header(fd: int, findings: list[str]) -> tuple[Header, int]:
    data = os.pread(fd, MOST_HEADER, 0)
    try:
        return decode_header(data)
    except Damaged as fault:
        start = first_commit(fd)
        if start is None and isinstance(fault, Unlike):
            raise UnsupportedFormat(f"this is not a store that can be examined: {fault}") from None
        findings.append(f"byte 0: the header is damaged: {fault}")
        new = Header(version=this_version(), store=str(uuid.uuid4()))
        return new, len(data.partition(b"\n")[0]) if start is None else start


def _lines(fd: int, start: int) -> Iterator[Line]:
    """Go through the lines between the header and the closing brackets."""
    data = read_all(fd)
    if data[start : start + 1] != b"\n":
        yield Line(start, data[start : start + 1], None, _NO_BREAK)
    offset, seq = start + 1, 0
    while offset < len(data):
        stop = data.find(b"\n", offset)
        raw = data[offset : stop if stop >= 0 else len(data)]
        if raw.rstrip(b" ") in (b"", CLOSE[1:]) and (stop < 0 or not data[stop:].strip()):
            return
        for line in _parts(offset, raw, seq):
            seq = line.commit.seq if line.commit is not None else seq
            yield line
        offset = stop + 1 if stop >= 0 else len(data)


def _parts(offset: int, raw: bytes, seq: int) -> Iterator[Line]:
    """Yield a line, or the commits in it between which the line break is missing."""
    line = _line(offset, raw.removesuffix(b","), seq)
    first = first_of(raw)
    if line.commit is not None or len(first) == len(raw):
        yield line
        return
    yield _line(offset, first, seq)
    rest = raw[len(first) :]
    between, behind = (rest[:2], rest[2:]) if rest[2:].startswith(b"{") else (rest, b"")
    yield Line(offset + len(first), between, None, _NO_BREAK)
    if behind:
        yield from _parts(offset + len(first) + 2, behind, seq + 1)


def _line(offset: int, raw: bytes, seq: int) -> Line:
    try:
        commit = decode_commit(raw)
    except (Damaged, Unfit) as fault:
        return Line(offset, raw, None, str(fault))
    if commit.seq <= seq:
        return Line(offset, raw, None, f"commit {commit.seq} stands behind commit {seq}")
    missing = f"commits {seq + 1} to {commit.seq - 1} are missing before it" if commit.seq > seq + 1 else None
    return Line(offset, raw, commit, missing)


def _take(replay: Replay, line: Line) -> str | None:
    try:
        if line.commit is not None:
            replay.commit(line.commit, line.data, line.offset)
    except Unfit as error:
        return str(error)
    return line.fault


def _tail(fd: int) -> list[str]:
    """Tell what is wrong with the end of the file."""
    data = read_all(fd).rstrip(b" ")
    return [] if data.endswith(CLOSE) else ["the closing brackets at the end are missing or not the last"]


def _new_table(name: str) -> QueueTable:
    return QueueTable(name, float("inf"), 1 << 62)
