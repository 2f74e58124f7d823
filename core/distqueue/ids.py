"""Names that distqueue makes: task ids, claim tokens and receipts."""

from __future__ import annotations

import os
import time

from distqueue.errors import LeaseLost


def new_task_id() -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7): ids made later sort later, to the millisecond."""
    return new_task_ids(1)[0]


def new_task_ids(count: int) -> list[str]:
    """Return ``count`` UUIDv7s, made at one time: cheaper than one at a time.

    Their last 48 bits count up from a random number (RFC 9562, section 6.2, method 2), so that they
    sort in the order in which they were made.
    """
    when = f"{time.time_ns() // 1_000_000:012x}"
    noise = int.from_bytes(os.urandom(10))
    variant = 0x8000 | noise >> 64 & 0x3FFF
    prefix = f"{when[:8]}-{when[8:]}-7{noise >> 52 & 0xFFF:03x}-{variant:04x}-"
    first = noise & 0x7FFF_FFFF_FFFF
    return [f"{prefix}{number:012x}" for number in range(first, first + count)]


def new_token() -> str:
    """Return 128 random bits as hexadecimal digits: the unguessable part of receipts."""
    return os.urandom(16).hex()


def make_receipt(task_id: str, deliveries: int, token: str) -> str:
    """Return the receipt of one delivery: its number, the claim's token and the task id."""
    return f"{deliveries}.{token}.{task_id}"


def parse_receipt(receipt: str) -> tuple[str, int, str]:
    """Return the task id, delivery number and token in a receipt.

    A delivery has one receipt: its number in another spelling, such as ``01`` or ``+1``, is none.

    Raises:
        LeaseLost: it is not a receipt at all, so it cannot be the newest one.
    """
    try:
        number, token, task_id = receipt.split(".", 2)
        deliveries = int(number)
        if str(deliveries) != number:
            raise ValueError(number)
    except (ValueError, AttributeError):
        raise LeaseLost(
            f"{receipt!r:.80} is not a receipt; use the one that the delivery came with"
        ) from None
    return task_id, deliveries, token
