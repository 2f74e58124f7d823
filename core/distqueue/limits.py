"""The limits on names, options and sizes, and the one place where a command is held against them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final

import msgspec

from distqueue.capabilities import Capabilities
from distqueue.commands import (
    Ack,
    Browse,
    Claim,
    Command,
    Extend,
    Fence,
    LoadRemembered,
    LoadTask,
    Put,
    Release,
    Remembered,
    Retry,
)
from distqueue.errors import InvalidTask, TooLarge, Unsupported
from distqueue.fences import EVERY, FenceLevel
from distqueue.task import DEFAULT_OPTIONS, TaskOptions

MAX_PAYLOAD: Final = 1024 * 1024
"""The largest payload, in bytes (1 MiB)."""
MAX_BATCH: Final = 10_000
"""The most commands in one call of ``apply``."""
MAX_BATCH_BYTES: Final = 64 * 1024 * 1024
"""The most payload bytes in one call of ``apply`` (64 MiB)."""
MAX_PRIORITY: Final = 31
MAX_ID: Final = 128
"""The longest task id, in characters."""
MAX_KEY: Final = 256
"""The longest group, unique key and publisher id, in UTF-8 bytes."""
MAX_HEADERS: Final = 16 * 1024
"""The most UTF-8 bytes of all headers of a task together."""
MAX_ERROR: Final = 64 * 1024
"""The most characters of an error that are kept with a task; the middle of a longer one is cut."""
MAX_FAILURES: Final = 10
"""How many failed attempts are kept with a task: the newest."""
MAX_FAILURE_ERROR: Final = 1024
"""The most characters of an error that are kept with a failed attempt."""
MAX_TRACEBACK: Final = 8 * 1024
"""The most characters of a traceback that are kept with a failed attempt."""
MAX_NOTE: Final = 2048
"""The longest note of a fence, in characters."""
MAX_SECONDS: Final = 100 * 365 * 86400.0
"""The longest delay, lease and expiry: a hundred years."""

_QUEUE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TASK_ID = re.compile(r"[!#-\[\]-~]{1,128}", re.ASCII)


@lru_cache(maxsize=1024)
def check_queue_name(name: str) -> str:
    """Return the name of a queue if it is allowed.

    1 to 64 characters out of ``a-z``, ``0-9``, ``.``, ``_`` and ``-``, the first a letter or digit,
    and no ``..``: the same on every backend, as names become keys, subjects and parts of paths.

    Raises:
        InvalidTask: the name is not allowed.
    """
    if not isinstance(name, str) or not _QUEUE_NAME.fullmatch(name) or ".." in name:
        raise InvalidTask(
            f"{name!r:.80} is not a queue name: use 1 to 64 characters out of a-z, 0-9, '.', '_', '-', "
            "beginning with a letter or digit, without '..'"
        )
    return name


def check_task_id(task_id: str) -> str:
    """Return a task id if it is allowed: 1 to 128 printable ASCII characters but space, ``"`` and ``\\``.

    Raises:
        InvalidTask: the id is not allowed.
    """
    if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id):
        raise InvalidTask(
            f"{task_id!r:.80} is not a task id: use 1 to {MAX_ID} printable ASCII characters "
            "except space, '\"' and '\\'"
        )
    return task_id


def check_batch(commands: Sequence[Command], capabilities: Capabilities) -> None:
    """Refuse a whole call that is over the limits, before anything is carried out.

    Raises:
        TooLarge: too many commands, or too many payload bytes together.
    """
    if len(commands) == 1 and not (type(commands[0]) is Ack and commands[0].then):
        return  # the most frequent call, which always fits
    if len(commands) > capabilities.max_batch:
        raise TooLarge(f"{len(commands)} commands in one call; at most {capabilities.max_batch}: split them")
    puts = len(commands)
    if Ack in set(map(type, commands)):
        puts += sum(len(command.then) for command in commands if type(command) is Ack)
    if puts > capabilities.max_batch:
        raise TooLarge(f"{puts} tasks in one call; at most {capabilities.max_batch}: split them")
    if puts > MAX_BATCH_BYTES // MAX_PAYLOAD:
        size = payload_bytes(commands)
        if size > MAX_BATCH_BYTES:
            raise TooLarge(f"{size} payload bytes in one call; at most {MAX_BATCH_BYTES}: split them")


def payload_bytes(commands: Sequence[Command]) -> int:
    """Return how many payload bytes commands hold, follow-up tasks included."""
    if set(map(type, commands)) == {Put}:
        return sum(map(len, map(attrgetter("data"), commands)))
    size = 0
    for command in commands:
        if type(command) is Put:
            size += len(command.data)
        elif type(command) is Ack:
            size += sum(len(put.data) for put in command.then)
    return size


def check_put(put: Put, capabilities: Capabilities) -> None:
    """Refuse a task whose names, options or size are not allowed, or which the backend cannot keep.

    The payload's content is checked by :func:`distqueue.payload.check`.

    Raises:
        InvalidTask: a name or an option is not allowed.
        TooLarge: the payload or an option is over a limit.
        Unsupported: the backend lacks a capability that an option needs.
    """
    check_queue_name(put.queue)
    if not _TASK_ID.fullmatch(put.task_id):
        check_task_id(put.task_id)
    if len(put.data) > capabilities.max_payload:
        raise TooLarge(
            f"the payload has {len(put.data)} bytes; at most {capabilities.max_payload}: "
            "put a reference to where it is kept"
        )
    if put.delay is not None or put.due is not None:
        _check_due(put, capabilities)
    if put.options is not DEFAULT_OPTIONS:
        check_options(put.options, capabilities)


def check_options(options: TaskOptions, capabilities: Capabilities) -> None:
    """Refuse options that are not allowed, or that the backend cannot keep.

    Raises:
        InvalidTask, TooLarge, Unsupported: as :func:`check_put`.
    """
    if options.priority:
        _check_priority(options.priority, capabilities)
    if options.max_attempts is not None and options.max_attempts < 1:
        raise InvalidTask(f"max_attempts is {options.max_attempts}; use at least 1, or None for no limit")
    if options.expires_in is not None:
        _need(capabilities.expiry, "expires_in")
        check_seconds("expires_in", options.expires_in)
    if options.keep_done:
        _need(capabilities.keep_done, "keep_done")
        check_seconds("keep_done", options.keep_done)
    if options.group is not None:
        _need(capabilities.groups, "group")
        _check_key("group", options.group)
    if options.unique is not None:
        _need(capabilities.unique, "unique")
        _check_key("unique", options.unique)
    if options.publisher_id is not None:
        _check_key("publisher_id", options.publisher_id)
    if options.headers is not None:
        check_headers(options.headers)


def check_claim(claim: Claim) -> None:
    """Refuse a claim for no task, for too many, or for no time.

    Raises:
        InvalidTask: ``count`` or ``lease`` is out of bounds, or ``token`` is none.
    """
    if not 1 <= claim.count <= MAX_BATCH:
        raise InvalidTask(f"a claim of {claim.count} tasks; take 1 to {MAX_BATCH}")
    check_lease(claim.lease)
    if not _TOKEN.fullmatch(claim.token):
        raise InvalidTask(f"{claim.token!r:.80} is not a token: use 1 to 64 letters, digits, '_' and '-'")


def check_fence(fence: Fence) -> None:
    """Refuse a fence whose note is not that of a store.

    Raises:
        InvalidTask: the note is none, or all queues are to be filled at once.
    """
    if not (fence.note.isprintable() and 0 < len(fence.note) <= MAX_NOTE):
        raise InvalidTask(f"{fence.note!r:.80} is not the note of a fence: use the URL of the other store")
    if fence.queue == EVERY and fence.level is FenceLevel.FILLING:
        raise InvalidTask("queues are filled one by one; name the queue")


def check_lease(lease: float) -> None:
    """Refuse a lease that is not a positive number of seconds.

    Raises:
        InvalidTask: it is not.
    """
    if not 0 < lease <= MAX_SECONDS:
        raise InvalidTask(f"a lease of {lease} s; use more than 0 and at most {MAX_SECONDS:.0f}")


def check_seconds(name: str, value: float) -> None:
    """Refuse a duration that is negative, not a number or longer than a hundred years.

    Raises:
        InvalidTask: it is.
    """
    if not 0 <= value <= MAX_SECONDS:
        raise InvalidTask(f"{name} is {value} s; use 0 to {MAX_SECONDS:.0f}")


def check_command(command: Command) -> None:
    """Refuse a command other than a put whose arguments are not allowed.

    Raises:
        InvalidTask: a name or an argument is not allowed.
    """
    check_types(command)
    match command:
        case Claim():
            check_claim(command)
        case Extend():
            check_lease(command.lease)
        case Fence():
            check_fence(command)
        case Browse() | Remembered() if command.limit < 1:
            raise InvalidTask(f"a page of {command.limit} tasks; take at least 1")
        case Retry() | Release() if command.delay is not None:
            check_seconds("delay", command.delay)


def check_types(command: Command) -> None:
    """Refuse a command whose arguments are of other types than they have to be.

    Raises:
        InvalidTask: one is; the message names it.
    """
    if isinstance(command, Ack):
        if not isinstance(command.receipt, str):
            raise InvalidTask(f"{command.receipt!r:.80} is not a receipt")
        for put in command.then:
            check_types(put)
        return
    if isinstance(command, LoadTask | LoadRemembered):
        return
    part: msgspec.Struct = command.options if isinstance(command, Put) else command
    if part is DEFAULT_OPTIONS:
        return
    try:
        msgspec.convert(msgspec.to_builtins(part), type(part))
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        raise InvalidTask(f"{type(command).__name__.lower()}: {error}") from None


def cut_error(error: str | None, most: int = MAX_ERROR) -> str | None:
    """Return an error text cut to so many characters: its beginning and its end, which say most.

    Halves of surrogate pairs (Python has them in names of files that are not UTF-8) become escapes.
    """
    if error is None:
        return None
    if not error.isascii():
        error = error.encode(errors="backslashreplace").decode()
    if len(error) <= most:
        return error
    half = most // 2 - 16
    return f"{error[:half]}\n… cut …\n{error[-half:]}"


def _need(has: bool, option: str) -> None:
    if not has:
        raise Unsupported(f"this backend has no {option!r}; `distqueue backends --json` shows which have it")


def _check_priority(priority: int, capabilities: Capabilities) -> None:
    _need(capabilities.priorities, "priority")
    if not isinstance(priority, int) or not 0 <= priority <= MAX_PRIORITY:
        raise InvalidTask(f"priority is {priority}; use 0 (last) to {MAX_PRIORITY} (first)")


def _check_due(put: Put, capabilities: Capabilities) -> None:
    _need(capabilities.delay, "delay")
    if put.delay is not None and put.due is not None:
        raise InvalidTask("both delay and due are given; give one")
    if put.delay is not None:
        check_seconds("delay", put.delay)
    elif put.due is not None and not (math.isfinite(put.due) and abs(put.due) < 1e11):
        raise InvalidTask(f"due is {put.due}; use a time in seconds since the epoch")


def _check_key(name: str, key: str) -> None:
    if not isinstance(key, str) or not key or not key.isprintable():
        raise InvalidTask(f"{name} is {key!r:.80}; use printable characters, at least one")
    if len(key.encode()) > MAX_KEY:
        raise TooLarge(f"{name} has {len(key.encode())} bytes; at most {MAX_KEY}")


def check_headers(headers: dict[str, str]) -> None:
    """Refuse headers that are not text, or too large together.

    Raises:
        InvalidTask, TooLarge: they are.
    """
    size = 0
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidTask(f"header {name!r:.80} is not a string with a string value")
        size += len(name.encode(errors="surrogatepass")) + len(value.encode(errors="surrogatepass"))
        if not (name + value).isascii():
            _refuse_surrogates(name + value)
    if size > MAX_HEADERS:
        raise TooLarge(f"the headers have {size} bytes; at most {MAX_HEADERS}")


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidTask("a header holds half a surrogate pair, which is not text") from None
