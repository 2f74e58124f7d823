"""The process that runs handlers: ``python -m distqueue.worker.child``, started by its worker.

Sync handlers run in threads, async ones on an event loop in a thread of its own. The main thread only reads
what the worker says; when the worker is gone, the process ends at once, so that no handler outlives it.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Coroutine, Iterable
from functools import partial
from logging import getLogger
from typing import Any, Final, NoReturn

from distqueue.app.app import App
from distqueue.app.current import CurrentDelivery
from distqueue.app.ended import Ended
from distqueue.app.function import TaskFunction
from distqueue.app.handling import handle, handle_async
from distqueue.app.loading import full_name, load_app, told_of_import
from distqueue.errors import DistqueueError
from distqueue.plugins import installed_plugins
from distqueue.worker.inbox import Inbox
from distqueue.worker.logs import set_up_logs
from distqueue.worker.memory import resident_bytes
from distqueue.worker.outbox import Outbox
from distqueue.worker.printing import Printing
from distqueue.worker.threads import Threads
from distqueue.worker.wire import (
    UNKNOWN_PAUSE,
    ChildPlan,
    Finish,
    Lost,
    QueueInfo,
    Ready,
    Result,
    Run,
    TaskInfo,
    Unusable,
)

_log: Final = getLogger("distqueue.worker")
_PR_SET_PDEATHSIG: Final = 1


class Child:
    """Runs what the worker says, up to ``slots`` handlers at a time."""

    def __init__(self, plan: ChildPlan, inbox: Inbox, outbox: Outbox, app: App, printing: Printing) -> None:
        self._plan = plan
        self._inbox = inbox
        self._outbox = outbox
        self._app = app
        self._printing = printing
        self._threads = Threads(plan.slots)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._running: dict[str, CurrentDelivery] = {}
        self._handling: set[asyncio.Task[None]] = set()
        self._coroutines: list[tuple[str, Coroutine[Any, Any, None]]] = []

    def serve(self) -> None:
        """Run what the worker says until it says that nothing more comes, or is gone."""
        while messages := self._inbox.read():
            for message in messages:
                match message:
                    case Run() as run:
                        self._start(run)
                    case Lost(receipt):
                        self._lose(receipt)
                    case Finish():
                        return
            if self._coroutines:
                coroutines, self._coroutines = self._coroutines, []
                self._event_loop().call_soon_threadsafe(self._start_on_loop, coroutines)

    def _start(self, run: Run) -> None:
        task = self._app.tasks.get(run.task)
        if task is None:  # the worker knows a later version of the app
            left = Ended(verb="release", delay=UNKNOWN_PAUSE)
            self._outbox.say(Result(receipt=run.lease.receipt, ended=left))
            return
        delivery = CurrentDelivery(run.queue, run.task, run.lease)
        self._running[run.lease.receipt] = delivery
        if task.is_async:
            self._coroutines.append((run.lease.receipt, self._run_async(task, delivery, run)))
        else:
            self._threads.run(partial(self._run, task, delivery, run))

    def _start_on_loop(self, coroutines: Iterable[tuple[str, Coroutine[Any, Any, None]]]) -> None:
        """Start async handlers, in the thread of the loop, which is woken once for all that came together."""
        loop = asyncio.get_running_loop()
        for receipt, coroutine in coroutines:
            handling = loop.create_task(coroutine)
            self._handling.add(handling)  # a loop refers to its tasks weakly
            handling.add_done_callback(partial(self._check_told, receipt))

    def _run(self, task: TaskFunction[..., Any], delivery: CurrentDelivery, run: Run) -> None:
        self._tell(run.lease.receipt, handle(task, delivery, run.lease.data))

    async def _run_async(self, task: TaskFunction[..., Any], delivery: CurrentDelivery, run: Run) -> None:
        self._tell(run.lease.receipt, await handle_async(task, delivery, run.lease.data))

    def _lose(self, receipt: str) -> None:
        if (delivery := self._running.get(receipt)) is not None:
            delivery.lose()

    def _check_told(self, receipt: str, handling: asyncio.Task[None]) -> None:
        """Tell of a handler that was cancelled, by another one, before it began."""
        self._handling.discard(handling)
        if receipt in self._running:
            self._tell(receipt, Ended(verb="retry", error="the handler was cancelled before it began"))

    def _tell(self, receipt: str, ended: Ended) -> None:
        """Tell what came of a handler, in its thread."""
        if os.getpid() != self._pid:
            _end("a handler returned in a process that it had forked, which is ended: use os._exit there")
        self._printing.end_handler()
        del self._running[receipt]
        memory = resident_bytes() if self._plan.tells_memory else 0
        try:
            self._outbox.say(Result(receipt=receipt, ended=ended, memory=memory))
        except (UnicodeEncodeError, OverflowError, TypeError) as error:  # follow-ups that cannot be written
            fault = Ended(verb="retry", error=f"what follows from the task cannot be stored: {error}")
            self._outbox.say(Result(receipt=receipt, ended=fault, memory=memory))

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            loop = partial(self._run_loop, self._loop)
            threading.Thread(target=loop, name="distqueue-loop", daemon=True).start()
        return self._loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run async handlers until the process ends: without the loop none of them would ever."""
        try:
            loop.run_forever()
        except BaseException:  # noqa: BLE001 - SystemExit in a task or a callback of a handler ends the loop
            traceback.print_exc()
        _end("a handler has stopped the event loop, and with it this process")


def describe(app: App, queues: tuple[str, ...] = (), *, name: str = "") -> Ready:
    """Return what a worker has to know of an app; ``queues`` are those that it works on besides the app's.

    ``name`` is by what the store knows the app.
    """
    found = app.configured()
    return Ready(
        url=found.url.unredacted(),
        place=str(found.url),
        options=found.options,
        observers=found.observers,
        tasks={task.name: _info(task) for task in app.tasks.values()},
        queues={queue: _queue_info(app, queue) for queue in (*app.queue_names, *queues)},
        schedules=tuple(definition.raw for definition in app.definitions(name)),
    )


def _info(task: TaskFunction[..., Any]) -> TaskInfo:
    policy = task.policy
    return TaskInfo(queue=task.queue, is_async=task.is_async, timeout=policy.timeout, retry=policy.retry)


def _queue_info(app: App, name: str) -> QueueInfo:
    defaults = app.configured(name).defaults
    return QueueInfo(lease=defaults.lease, retry=defaults.retry)


def main(fd: int) -> None:
    """Import the app that the worker names over the socket, say so, and run what comes."""
    sock = socket.socket(fileno=fd)
    inbox = Inbox(sock)
    plan = inbox.read_plan()
    _die_with(plan.parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which says what is to be done
        signal.signal(number, lambda *_: None)
    printing = Printing()
    if plan.logs is not None:
        set_up_logs(plan.logs)
    outbox = Outbox(sock)
    try:
        app = load_app(plan.app)
        if plan.url is not None:
            app.use(plan.url)
        ready = describe(app, plan.queues, name=full_name(plan.app))
        installed_plugins().load_observers(ready.observers)
    except DistqueueError as error:
        outbox.say(Unusable(str(error)))
        return
    except BaseException as error:  # noqa: BLE001 - whatever the module of a user raises
        outbox.say(Unusable(f"{plan.app} cannot be imported: {told_of_import(error)}"))
        return
    outbox.say(ready)
    Child(plan, inbox, outbox, app, printing).serve()
    app.close()
    atexit._run_exitfuncs()  # what is kept to be sent, such as spans, is sent
    printing.end()
    os._exit(0)  # threads of handlers that do not end are nobody's concern any longer


def _end(why: str) -> NoReturn:
    """End this process at once: what runs in it cannot go on."""
    _log.error("%s", why)
    os._exit(1)


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its worker dies, however busy the interpreter is then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died meanwhile
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
