"""The parent: one loop over children, store, clock and signals."""

from __future__ import annotations

import math
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from logging import getLogger
from typing import Final

from distqueue.app.call import handler_name
from distqueue.app.ended import Ended
from distqueue.app.handling import timed_out
from distqueue.app.loading import full_name
from distqueue.errors import ConfigError
from distqueue.results import Counted, Lease
from distqueue.urls import parse_url
from distqueue.worker.children import ChildProcess
from distqueue.worker.crew import Crew
from distqueue.worker.held import Held
from distqueue.worker.output import Output
from distqueue.worker.plan import Plan
from distqueue.worker.reload import Reload
from distqueue.worker.running import Running
from distqueue.worker.source import Source
from distqueue.worker.supply import Supply
from distqueue.worker.tally import Tally
from distqueue.worker.telling import tell_ended, tell_started, warn_of_short_leases, warn_of_strangers
from distqueue.worker.wire import UNKNOWN_PAUSE, FromChild, Ready, Result, TaskInfo, Unusable

_LAST_WORDS: Final = 10.0
"""How long a worker that ends at once tries to give back what it has, in seconds."""
_CLOSING: Final = 5.0
"""How long the store may take to be closed, in seconds."""
_LONGEST_SLEEP: Final = 3600.0
_UNKNOWN_NAME: Final = (
    "no handler here is named %(name)s (does the app's module import the one that has it?): "
    "task %(task)s and its like stay in queue %(queue)s for a worker that has it"
)
_NO_NAME: Final = (
    "task %(task)s in queue %(queue)s names no handler, as it was put, not enqueued: it and its like stay "
    "there for `distqueue get` and Queue.get; give them a queue of their own"
)

_log: Final = getLogger("distqueue.worker")


class Phase(IntEnum):
    """How far a worker has come."""

    WORKING = 0
    STOPPING = 1
    """Nothing is claimed any more; what runs may go on for the grace."""
    KILLING = 2
    """What runs is killed and given back."""


class Worker:
    """Runs handlers until it is told to stop.

    >>> Worker(Plan(app="shop.tasks:app", concurrency=4)).run()                # doctest: +SKIP
    """

    def __init__(self, plan: Plan, output: Output | None = None) -> None:
        self.plan = plan
        self.tally = Tally()
        self.phase = Phase.WORKING
        self.gave_back = 0
        """How many handlers were stopped, and their tasks given back, as the grace was over."""
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._posted: deque[Callable[[], None]] = deque()
        self._stops = 0
        self._ends_at = math.inf
        self._crew = Crew(plan, self._selector, output)
        self._supply: Supply | None = None
        self._tasks: dict[str, TaskInfo] = {}
        self._waiting: deque[Running] = deque()
        """Claimed, and not yet given to a child, as one has died since."""
        self._held = Held()
        self._unknown: set[str] = set()
        self.on_turn: Callable[[Worker], None] | None = None
        """Called after each turn of the loop, for whoever shows how it goes."""
        self.turn_by = math.inf
        """When the next turn is due at the latest, on the monotonic clock: for ``on_turn``."""

    # --- For others -----------------------------------------------------------------------------

    @property
    def running(self) -> list[Running]:
        """What runs now."""
        return [running for child in self._crew.children for running in child.running.values()]

    @property
    def children(self) -> list[ChildProcess]:
        """The processes that run handlers."""
        return self._crew.children

    @property
    def queue_names(self) -> list[str]:
        """The queues that it works on, none while they are not known yet."""
        return [] if self._supply is None else self._supply.names

    def counted(self) -> Counted | None:
        """Count the tasks of the store; ``None`` while it is not known yet. May be called from any thread.

        Raises:
            StoreError, Refused: as a broker does.
        """
        return None if self._supply is None else self._supply.counted()

    def stop(self) -> None:
        """Claim nothing more, and end when what runs has ended; a second time: at once.

        May be called in a signal handler, and from any thread.
        """
        self._stops += 1
        self.wake()

    def wake(self) -> None:
        """Let the next turn of the loop come now. May be called in a signal handler, and from any thread."""
        with suppress(BlockingIOError, OSError):
            os.write(self._wake_writer, b"!")

    def run(self) -> None:
        """Work until told to stop, or (``burst``) until nothing is left to do.

        Raises:
            ConfigError: the app cannot be imported, or its configuration is wrong.
            StoreError: the store cannot be opened.
        """
        reload = Reload(lambda: self._post(self._crew.retire_all)) if self.plan.reload else None
        try:
            self._crew.fill()
            while not self._is_over():
                self._turn()
            if self._supply is not None and self._supply.failure is not None:
                raise self._supply.failure
        finally:
            if reload is not None:
                reload.close()
            self._close()

    # --- The loop -------------------------------------------------------------------------------

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._sleep()):
            if key.fd == self._wake_reader:
                with suppress(BlockingIOError):
                    os.read(self._wake_reader, 4096)
            elif isinstance(key.data, ChildProcess):
                self._listen(key.data, has_ended=key.fileobj is not key.data)
        while self._posted:
            self._posted.popleft()()
        self._note_stops()
        self._crew.kill_overdue()
        self._crew.end_idle()
        self._crew.fill()
        if self._supply is not None:
            self._give_back_waiting()
            self._supply.ask(self._wanted())  # before the children are told, as it takes longer
            self._start_waiting()
            if self._supply.failure is not None and self.phase is Phase.WORKING:
                self.stop()
        for child in self._crew.children:
            child.flush()
        self._crew.watch_writing()
        if self.on_turn is not None:
            self.on_turn(self)

    def _sleep(self) -> float:
        """Return for how long nothing has to be done, in seconds."""
        now = time.monotonic()
        at = min(self._ends_at, self.turn_by, self._crew.next_event_at())
        if self._supply is not None:
            at = min(at, self._supply.asks_again_at(now))
        return max(0.0, min(at - now, _LONGEST_SLEEP))

    def _wanted(self) -> int:
        """Return how many tasks can be started now."""
        if self.phase is not Phase.WORKING:
            return 0
        return self._crew.free - len(self._waiting)

    def _is_over(self) -> bool:
        supply = self._supply
        is_running = any(child.running for child in self._crew.children)
        is_empty = not is_running and not self._waiting and (supply is None or supply.is_idle)
        if self.phase is Phase.WORKING:
            if not (self.plan.burst and supply is not None and supply.is_exhausted and is_empty):
                return False
            self.phase = Phase.STOPPING
        if self.phase is Phase.KILLING and time.monotonic() >= self._ends_at:
            _log.error("what could not be given back stays leased until its lease ends")
            return True
        return is_empty

    def _post(self, function: Callable[[], None]) -> None:
        self._posted.append(function)
        self.wake()

    # --- Tasks ----------------------------------------------------------------------------------

    def _take(self, source: Source, lease: Lease) -> None:
        """Start what was claimed, or give it back."""
        name = handler_name(lease.data)
        info = self._tasks.get(name) if name is not None else None
        if name is None or info is None:
            self._leave_to_others(source, lease, name)
            return
        running = Running(source, lease, name, info, self._on_lost)
        if self._supply is not None and (ended := self._supply.done_before(running)) is not None:
            _log.info("task %s (%s) has been done here before", lease.task_id, name, extra=running.labels)
            self._settle(running, ended)
            return
        if lease.deliveries > 1 and (earlier := self._still_running(running)) is not None:
            text = "task %s (%s) still runs here, though its lease ran out: its end settles this delivery"
            _log.warning(text, lease.task_id, name, extra=running.labels)
            self._held.hold(running, earlier)
            return
        running.renew()
        self._waiting.append(running)

    def _still_running(self, running: Running) -> Running | None:
        """Return an earlier delivery of the same task whose handler has not ended yet."""
        task = running.queue, running.lease.task_id
        return next((one for one in self.running if (one.queue, one.lease.task_id) == task), None)

    def _leave_to_others(self, source: Source, lease: Lease, name: str | None) -> None:
        shown = f"{name!r:.80}"
        if shown not in self._unknown:
            self._unknown.add(shown)
            _log.warning(
                _NO_NAME if name is None else _UNKNOWN_NAME,
                {"name": shown, "task": lease.task_id, "queue": source.name},
            )
        info = TaskInfo(queue=source.name, is_async=False, timeout=None, retry=None)
        running = Running(source, lease, str(name), info, self._on_lost)
        self._settle(running, Ended(verb="release", delay=UNKNOWN_PAUSE))

    def _give_back_waiting(self) -> None:
        """Once the worker stops, give back what was claimed and not begun."""
        while self._waiting and self.phase is not Phase.WORKING:
            self._settle(self._waiting.popleft(), Ended(verb="release"))

    def _start_waiting(self) -> None:
        """Give what was claimed to children."""
        started = []
        while self._waiting and (child := self._crew.pick()) is not None:
            running = self._waiting.popleft()
            running.begin(time.monotonic())
            child.run(running)
            started.append(running)
            if self.plan.max_tasks is not None and child.started >= self.plan.max_tasks:
                self._crew.retire(child)
        tell_started(started)

    def _ended(self, running: Running, ended: Ended) -> None:
        """A handler has ended: settle the task, or run it again if it is claimed anew and not done."""
        tell_ended(running, ended)
        newer = self._held.take(running)
        if newer is not None and not ended.is_whole:
            self._waiting.append(newer)
        self._settle(newer if newer is not None and ended.is_whole else running, ended)

    def _settle(self, running: Running, ended: Ended) -> None:
        if self._supply is None:
            raise RuntimeError("nothing runs without a store")
        self._supply.settle(running, running.end(ended))

    def _on_lost(self, running: Running) -> None:
        """The lease is lost, as the thread that renews it has found: the handler may want to know."""

        def tell() -> None:
            for child in self._crew.children:
                if child.running.get(running.receipt) is running:
                    child.lose(running.receipt)

        self._post(tell)

    # --- Children -------------------------------------------------------------------------------

    def _listen(self, child: ChildProcess, *, has_ended: bool) -> None:
        if child not in self._crew.children:  # both of its descriptors were readable
            return
        try:
            for message in child.heard():
                self._heard(child, message)
            if has_ended:
                raise EOFError
        except EOFError:
            self._bury(child)

    def _heard(self, child: ChildProcess, message: FromChild) -> None:
        match message:
            case Ready():
                self._meet(child, message)
            case Unusable(reason):
                if self._supply is None:
                    raise ConfigError(reason)
                _log.error("the app cannot be imported any longer; trying again: %s", reason)
            case Result():
                self._ended(child.running.pop(message.receipt), message.ended)
                if self.plan.max_memory is not None and message.memory > self.plan.max_memory:
                    self._crew.retire(child)

    def _meet(self, child: ChildProcess, ready: Ready) -> None:
        """A child has imported the app; the first one says where the store is."""
        self._tasks = ready.tasks
        self._unknown.clear()
        if self._supply is None:
            place = parse_url(ready.url)
            is_new = place.is_file and not os.path.lexists(place.path)
            self._supply = Supply(self.plan, ready, self.tally, self._post)
            if is_new:
                _log.info("created %s", os.path.abspath(place.path))
            self._supply.take = self._take
            names = ", ".join(source.name for source in self._supply.sources)
            _log.info("working on queues %s of %s", names, ready.place)
            warn_of_strangers(self.plan.queues, ready)
            warn_of_short_leases(self.queue_names, ready)
        self._supply.schedule(full_name(self.plan.app), ready.schedules)
        self._crew.is_well(child)

    def _bury(self, child: ChildProcess) -> None:
        """A child has ended: what ran there has failed, unless it was killed for something else."""
        how = self._crew.remove(child)
        if self._supply is None and self.phase is Phase.WORKING and not self._crew.children:
            raise ConfigError(f"the app cannot be imported: the process that tried {how}")
        overdue = [one for one in child.running.values() if time.monotonic() >= one.deadline]
        if self.phase is not Phase.KILLING and not (child.is_retiring and not child.running):
            self.tally.children_died += 1
            if not overdue:
                _log.error("child %d %s", child.process.pid, how)
                self._crew.put_off()
        for running in child.running.values():
            ended = self._cause(running, how, is_innocent=bool(overdue), is_overdue=running in overdue)
            self._ended(running, ended)

    def _cause(self, running: Running, how: str, *, is_innocent: bool, is_overdue: bool) -> Ended:
        if self.phase is Phase.KILLING:
            self.gave_back += 1
            return Ended(verb="release", error="the worker ends")
        seconds = time.monotonic() - running.began
        if is_overdue:
            return Ended(verb="retry", error=timed_out(running.info.timeout), seconds=seconds)
        if is_innocent:
            why = "another handler of its process ran longer than its timeout"
            return Ended(verb="release", error=why, seconds=seconds)
        return Ended(verb="retry", error=f"the process that ran the handler {how}", seconds=seconds)

    # --- The end --------------------------------------------------------------------------------

    def _note_stops(self) -> None:
        now = time.monotonic()
        if self._stops and self.phase is Phase.WORKING:
            self.phase = Phase.STOPPING
            self._ends_at = now + self.plan.grace
            if self._supply is not None:
                self._supply.stop()
            _log.info("stopping; %d handlers may run for %g s more", len(self.running), self.plan.grace)
        if self.phase is Phase.STOPPING and (self._stops > 1 or now >= self._ends_at):
            self.phase = Phase.KILLING
            self._ends_at = now + _LAST_WORDS
            self._crew.is_closing = True
            for child in self._crew.children:
                child.kill()

    def _close_supply(self, supply: Supply) -> None:
        """Close the store, unless that waits for a broker process which says nothing."""
        closing = threading.Thread(target=supply.close, name="distqueue-closing", daemon=True)
        closing.start()
        closing.join(_CLOSING)
        if closing.is_alive():
            _log.error("the store does not answer, and is left as it is")

    def _close(self) -> None:
        self._crew.end_all()
        if self._supply is not None:
            self._close_supply(self._supply)
        self._selector.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)
