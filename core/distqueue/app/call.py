"""A call as the payload of a task: which handler, with which arguments."""

from __future__ import annotations

import msgspec

from distqueue.errors import InvalidTask
from distqueue.payload import Payload, encode


class Call(msgspec.Struct, frozen=True):
    """The payload of a task that an app enqueued: ``{"task": "send_email", "args": {"to": …}}``."""

    task: str
    args: msgspec.Raw


class _Named(msgspec.Struct, frozen=True):
    task: str


_calls = msgspec.json.Decoder(Call)
_names = msgspec.json.Decoder(_Named)


def encode_call(task: str, args: dict[str, object]) -> Payload:
    """Return the payload of a call; the arguments are JSON values already.

    Raises:
        InvalidTask: it is nested too deeply, or holds NaN or an infinity.
    """
    return encode({"task": task, "args": args})


def decode_call(payload: bytes) -> Call:
    """Return the call in a payload.

    Raises:
        InvalidTask: the payload is not that of a call.
    """
    try:
        return _calls.decode(payload)
    except msgspec.DecodeError as error:
        raise InvalidTask(f"the payload is not that of a task function ({error})") from None


def handler_name(payload: bytes) -> str | None:
    """Return the name of the handler that a payload is for; ``None`` if no app has enqueued it."""
    try:
        return _names.decode(payload).task
    except msgspec.DecodeError:
        return None
