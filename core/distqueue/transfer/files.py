"""The files of exports: written whole or not at all, read in pieces, never on the event loop."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, Protocol

import aiofiles

from distqueue.errors import ConfigError, DistqueueError, InvalidTask, StoreError
from distqueue.transfer.lines import HEADER_START, MAX_LINE

STANDARD: Final = "-"
"""What stands for the standard input or output where a path is expected."""
CHUNK: Final = 256 * 1024
"""How many bytes are read at once."""


class Writer(Protocol):
    """Where an export is written to."""

    async def write(self, data: bytes, /) -> int:
        """Write all of it."""


# --- Writing ------------------------------------------------------------------------------------


@asynccontextmanager
async def writing(path: str) -> AsyncIterator[Writer]:
    """Open a path for a whole export: it is there under its name once the block has ended well.

    Raises:
        ConfigError: something is at the path that an export may not replace.
        StoreError: the file cannot be written; nothing is left of it.
    """
    if path == STANDARD:
        async with aiofiles.open(sys.stdout.fileno(), "wb", closefd=False) as output:
            yield output
            await output.flush()
        return
    _refuse_to_replace(path)
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name[:200]}.{secrets.token_hex(8)}.tmp")
    try:
        async with aiofiles.open(temporary, "xb", opener=_open_private) as file:
            yield file
            await file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        await asyncio.to_thread(_put_in_place, temporary, path, directory or os.curdir)
    except DistqueueError:  # of the store, and perhaps a TimeoutError, which is an OSError
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {_why(error)}; nothing was left there") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _put_in_place(temporary: str, path: str, directory: str) -> None:
    os.replace(temporary, path)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_to_replace(path: str) -> None:
    """Let an export replace an older export or an empty file: never a store, a device or a link."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # nothing is there; if it cannot be written either, that is said later
        return
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path} is not a regular file; export to - and redirect the output there")
    try:
        with open(path, "rb") as file:
            start = file.read(len(HEADER_START))
    except OSError as error:
        raise ConfigError(f"{path} cannot be replaced: {_why(error)}; use another path") from error
    if start not in (b"", HEADER_START):
        raise ConfigError(f"{path} is there and is not an export; remove it first, or use another path")


# --- Reading ------------------------------------------------------------------------------------


async def _chunks_of(path: str) -> AsyncGenerator[bytes]:
    """Read a file, or the standard input (``"-"``), piece by piece.

    Raises:
        ConfigError: it cannot be read.
    """
    source = sys.stdin.fileno() if path == STANDARD else path
    try:
        async with aiofiles.open(source, "rb", buffering=0, closefd=path != STANDARD) as file:
            while True:
                await _until_readable(file.fileno())
                if not (chunk := await file.read(CHUNK)):
                    return
                yield chunk
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {_why(error)}") from error


async def lines_of(path: str, on_progress: Callable[[int], None]) -> AsyncGenerator[tuple[bytes, bool]]:
    """Go through the lines of a file, or of the standard input (``"-"``), without their line breaks.

    The flag tells whether there was a line break. ``on_progress`` is called with the bytes read so far.

    Raises:
        ConfigError: it cannot be read.
        InvalidTask: a line is longer than any in an export.
    """
    rest, read, count = b"", 0, 0
    async with aclosing(_chunks_of(path)) as chunks:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line, True
            count += len(lines)
            read += len(chunk)
            on_progress(read)
            if len(rest) > MAX_LINE:
                raise InvalidTask(
                    f"line {count + 1} has more than {MAX_LINE} bytes: it is not one of an export"
                )
    if rest:
        yield rest, False


async def first_and_last_line(path: str) -> tuple[bytes, bytes] | None:
    """Return two lines of a regular file, as far as they fit into a chunk; ``None`` if it is another one.

    Raises:
        ConfigError: it cannot be read.
    """
    if path == STANDARD or await asyncio.to_thread(_is_stream, path):
        return None
    try:
        async with aiofiles.open(path, "rb") as file:
            first, _, _ = (await file.read(CHUNK)).partition(b"\n")
            size = await file.seek(0, os.SEEK_END)
            await file.seek(max(0, size - CHUNK))
            last = (await file.read()).rstrip().rpartition(b"\n")[2]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {_why(error)}") from error
    return first, last


async def _until_readable(fd: int) -> None:
    """Wait in the event loop, not in a thread, as a thread that reads from a terminal cannot be stopped."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except (PermissionError, ValueError):  # a regular file always is
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


def _is_stream(path: str) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def _why(error: OSError) -> str:
    return error.strerror or str(error)
