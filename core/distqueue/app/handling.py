"""Carrying out one call: from the payload to what came of it. Workers and tests go this same way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from distqueue.app.around import Around
from distqueue.app.call import decode_call
from distqueue.app.current import CurrentDelivery, current
from distqueue.app.ended import Ended, acked, ended_by
from distqueue.app.function import TaskFunction
from distqueue.app.policy import Policy

type Judge = Callable[[BaseException, Policy, float], Ended]
"""Says what an exception of a handler, raised after so many seconds, makes of its task."""


def handle(
    task: TaskFunction[..., Any], delivery: CurrentDelivery, payload: bytes, judge: Judge = ended_by
) -> Ended:
    """Run a handler in this thread, and return what came of it; nothing that it raises gets through."""
    began = time.monotonic()
    token = current.set(delivery)
    try:
        with Around(delivery):
            bound = task.arguments.decode(decode_call(payload).args)
            task.function(*bound.args, **bound.kwargs)
    except BaseException as error:  # noqa: BLE001 - SystemExit in a handler is a failure like any other
        return judge(error, task.policy, time.monotonic() - began)
    finally:
        current.reset(token)
    return acked(delivery, time.monotonic() - began)


async def handle_async(
    task: TaskFunction[..., Any], delivery: CurrentDelivery, payload: bytes, judge: Judge = ended_by
) -> Ended:
    """Run an async handler, and return what came of it; what runs longer than its timeout is cancelled."""
    began = time.monotonic()
    token = current.set(delivery)
    try:
        with Around(delivery):
            bound = task.arguments.decode(decode_call(payload).args)
            async with asyncio.timeout(task.policy.timeout) as limit:
                await task.function(*bound.args, **bound.kwargs)
    except TimeoutError as error:
        seconds = time.monotonic() - began
        if not limit.expired():
            return judge(error, task.policy, seconds)
        return Ended(verb="retry", error=timed_out(task.policy.timeout), seconds=seconds)
    except BaseException as error:  # noqa: BLE001 - SystemExit in a handler is a failure like any other
        return judge(error, task.policy, time.monotonic() - began)
    finally:
        current.reset(token)
    return acked(delivery, time.monotonic() - began)


def timed_out(timeout: float | None) -> str:
    """Return what is recorded of an attempt that took too long."""
    return f"the handler ran longer than its timeout of {timeout:g} s"
