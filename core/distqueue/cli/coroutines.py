"""Running a coroutine in a command, so that SIGINT and SIGTERM cancel it.

An exception that a signal handler raises in the middle of the event loop's own work can lose the wake-up
that somebody waits for. So the loop is told of the signal, and cancels.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def run[R](coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end.

    Raises:
        SystemExit: a signal came, and the coroutine has cleaned up.
    """
    numbers = [
        each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN
    ]
    before = {number: signal.getsignal(number) for number in numbers}
    came: list[int] = []

    async def main() -> R:
        task = asyncio.ensure_future(coroutine)

        def stop(number: int) -> None:
            came.append(number)
            task.cancel()

        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        return await task

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise SystemExit(128 + came[0] if came else 1) from None
    finally:
        for number in numbers:
            signal.signal(number, before[number])
