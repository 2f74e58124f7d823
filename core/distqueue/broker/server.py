"""The loop of a broker process: take in what all clients ask, commit it as one, answer, begin again.

What arrives while a commit is being synced is the next commit, so groups form by themselves, and nobody
waits behind a timer. One thread does everything: a hop to another costs as much as a commit saves.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import batched
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.broker.deaths import Consumer, watched
from distqueue.broker.event import (
    WIRE,
    Applied,
    Apply,
    Event,
    Failed,
    Failure,
    Wait,
    Welcome,
    Woken,
    reply,
)
from distqueue.broker.frames import MAX_FRAME
from distqueue.broker.link import Cut, Link
from distqueue.broker.links import Links
from distqueue.broker.parked import LONGEST, Parked, Waiting
from distqueue.combine import apply_together, fitting
from distqueue.commands import READS, Ack, Claim, Command, Pause, Put, Release
from distqueue.errors import Closed, OutcomeUnknown, Refused, StoreFailed
from distqueue.limits import payload_bytes
from distqueue.results import Claimed, Outcome, Settled

_LOOK_EVERY: Final = 1.0
_GIVES_NO_WORK: Final = (*READS, Claim, Pause)


class _Call:
    """What one client asks: see :class:`~distqueue.combine.Call`."""

    __slots__ = ("commands", "link", "number", "size")

    def __init__(self, link: Link, number: int, commands: Sequence[Command]) -> None:
        self.link = link
        self.number = number
        self.commands = commands
        self.size = payload_bytes(commands)


class Server:
    """Serves a broker to the clients that connect to a listening socket, or are handed in by :meth:`add`.

    ``looks_every`` (seconds) is for a store that others change too: how often it is asked whether there
    is something for the clients that wait. ``longest_wait`` (seconds) is after how long one that waits is
    told to look for itself, in case that a wake-up was lost.
    """

    def __init__(
        self,
        broker: Broker,
        listener: socket.socket | None = None,
        *,
        looks_every: float | None = None,
        longest_wait: float = LONGEST,
    ) -> None:
        self._broker = broker
        self._looks_every = looks_every
        self._selector = selectors.DefaultSelector()
        self._links = Links(self._selector, came=self._welcome, asked=self._take, gone=self._forget)
        self._consumers: dict[int, Consumer] = {}
        self._dying = 0
        self._calls: deque[_Call] = deque()
        self._parked = Parked(broker, longest_wait)
        self._work: Counter[str] = Counter()
        self._is_stopping = False
        self._ending = threading.RLock()  # which a signal handler may take twice
        self._look_at = time.monotonic()
        self.failure: BaseException | None = None
        """What ended it, if it was not asked to end."""
        self.handled = 0
        """How many commands it has carried out."""
        self._waker, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._waker, selectors.EVENT_READ, self._woken)
        if listener is not None:
            self._links.listen(listener)

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._links)

    # --- For the process around it --------------------------------------------------------------------

    def watch(self, file: socket.socket, ready: Callable[[], None]) -> None:
        """Call ``ready`` in the loop when there is something to read."""
        self._selector.register(file, selectors.EVENT_READ, ready)

    def unwatch(self, file: socket.socket) -> None:
        """Watch a file no more."""
        self._selector.unregister(file)

    def add(self, sock: socket.socket, pid: int | None = None) -> None:
        """Serve a client, whose process is ``pid`` if that is not the one that the socket names."""
        self._links.add(sock, pid)

    def stop(self) -> None:
        """Let :meth:`run` finish what has arrived, and return. May be called from anywhere."""
        with self._ending, suppress(BlockingIOError):
            self._is_stopping = True
            if self._wake >= 0:
                os.write(self._wake, b"!")

    def run(self, each_turn: Callable[[], None] | None = None) -> None:
        """Serve until :meth:`stop` is called or the store fails; see :attr:`failure`."""
        try:
            while not self._is_stopping:
                self.turn(self._patience())
                if each_turn is not None:
                    each_turn()
            self._carry_out()
        except BaseException as error:  # which ends the process, but not with a goodbye
            self.failure = self.failure or error
            raise
        finally:
            self._end()

    def turn(self, timeout: float) -> None:
        """Take in what has arrived, at the latest after ``timeout`` seconds, and do all there is to do."""
        for key, _ in self._selector.select(timeout):
            key.data()
        self._carry_out()
        self._let_go()
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + _LOOK_EVERY
            self._links.check_patience()

    # --- Taking in ------------------------------------------------------------------------------------

    def _patience(self) -> float:
        end = self._parked.next_end()
        longest = self._looks_every if self._looks_every is not None and end is not None else _LOOK_EVERY
        return longest if end is None else max(0.0, min(longest, end - time.monotonic()))

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._waker, 4096)

    def _take(self, link: Link, event: Event) -> None:
        match event.body:
            case Apply() as asked:
                try:
                    commands = asked.rebuilt()
                except msgspec.DecodeError as error:
                    raise Cut(f"it speaks nonsense: {error}") from None
                self._calls.append(_Call(link, event.id, commands))
            case Wait() as wait:
                self._park(link, event.id, wait)
            case _:
                raise Cut("it speaks as only a broker process may")

    def _park(self, link: Link, number: int, wait: Wait) -> None:
        if (waiting := self._parked.add(link, number, wait)) is not None:
            self._links.say(link, reply(number, Woken(waiting.seen)))

    # --- Carrying out ---------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        """Carry out what has arrived, as few commits as it fits into, with the claims that wait for it."""
        max_batch = self._broker.capabilities.max_batch
        while self._calls and self.failure is None:
            calls = fitting(self._calls, max_batch)
            for _ in calls:
                self._calls.popleft()
            if self._parked:
                self._work.subtract(self._apply(calls, self._waiting_for(calls, max_batch)))
            else:
                self._apply(calls)

    def _waiting_for(self, calls: Sequence[_Call], max_batch: int) -> list[Waiting]:
        """Let those go that wait in order to claim, for whom there is a task among the puts of some calls."""
        puts = Counter(command.queue for call in calls for command in call.commands if type(command) is Put)
        room = max_batch - sum(len(call.commands) for call in calls)
        waiting: list[Waiting] = []
        for queue, count in puts.items():
            waiting += self._parked.claiming(queue, min(count, room - len(waiting)))
        return waiting

    def _apply(self, calls: Sequence[_Call], waiting: Sequence[Waiting] = ()) -> Counter[str]:
        """Carry out calls, and after them the claims of clients that wait, in one commit.

        Returns how many tasks of each queue were handed to those.
        """
        parts = [call.commands for call in calls] + [one.commands for one in waiting]
        answers = apply_together(self._broker.apply, parts)
        for call, answer in zip(calls, answers):
            self._answer(call, answer)
        handed: Counter[str] = Counter()
        for one, answer in zip(waiting, answers[len(calls) :]):
            handed[one.queue] += self._hand_out(one, answer)
        return handed

    def _answer(self, call: _Call, answer: list[Outcome] | Exception) -> None:
        if isinstance(answer, Exception):
            self._fail(call, answer)
            return
        self.handled += len(answer)
        if not self._links.say(call.link, reply(call.number, Applied.of(answer))):
            self._refuse(call)
            self._give_back(call, answer)
            return
        if set(map(type, call.commands)) != {Put}:
            if call.link not in self._links:  # nor does anything watch its process any more
                self._give_back(call, answer)
            elif (consumer := self._consumers.get(call.link.pid or 0)) is not None:
                consumer.note(call.commands, answer)
        if self._parked:  # or nobody needs to know
            self._note_work(call.commands, answer)

    def _note_work(self, commands: Sequence[Command], answer: list[Outcome]) -> None:
        """Note in which queues there may be something for those who wait."""
        for command, outcome in zip(commands, answer):
            if not isinstance(command, _GIVES_NO_WORK):
                self._work[command.queue] += 1
                if isinstance(command, Ack):
                    self._work.update(put.queue for put in command.then)
            elif isinstance(outcome, Claimed) and outcome.leases:
                self._work[command.queue] += 1  # where one task was, there may be more
                self._parked.wake_by(command.queue, outcome.leases[0].until)
            if isinstance(outcome, Settled) and outcome.until is not None:
                self._parked.wake_by(command.queue, outcome.until)

    def _fail(self, call: _Call | Waiting, error: Exception) -> None:
        if isinstance(error, OutcomeUnknown | StoreFailed | Closed):
            self.failure = error
            self._is_stopping = True
        self._links.say(call.link, reply(call.number, Failed(Failure.of(error))))

    def _give_back(self, call: _Call | Waiting, answer: list[Outcome]) -> None:
        """Release what was claimed by a call whose answer does not reach its client."""
        releases = [
            Release(queue=command.queue, receipt=lease.receipt)
            for command, outcome in zip(call.commands, answer)
            if isinstance(outcome, Claimed)
            for lease in outcome.leases
        ]
        if releases:
            apply_together(self._broker.apply, [releases])
            self._work.update(release.queue for release in releases)

    def _refuse(self, call: _Call | Waiting) -> None:
        """Say that an answer is larger than a frame."""
        failure = Failure("TooLarge", f"the answer is larger than {MAX_FRAME} bytes; ask for less at once")
        self._links.say(call.link, reply(call.number, Failed(failure)))

    # --- Waiting clients ------------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Wake those for whom there may be something now, and claim it for those who want that."""
        if not self._parked:
            self._work.clear()
            return
        woken = self._parked.over()
        if self._looks_every is not None:
            woken += self._parked.with_news()
        while (woken or self._work) and self.failure is None:
            work, self._work = +self._work, Counter()
            woken += [one for queue, count in work.items() for one in self._parked.woken(queue, count)]
            now = time.monotonic()
            for one in woken:
                if not one.claims_at(now):
                    self._links.say(one.link, reply(one.number, Woken(one.seen)))
            claiming = (one for one in woken if one.claims_at(now))
            for some in batched(claiming, self._broker.capabilities.max_batch):
                self._work.update(+self._apply((), some))  # where one task was, there may be more
            woken = []

    def _hand_out(self, waiting: Waiting, answer: list[Outcome] | Exception) -> int:
        """Give a client what was claimed for it, or let it wait on; return how many tasks it got."""
        if isinstance(answer, Exception):
            self._fail(waiting, answer)
            return 0
        outcome = answer[0]
        if isinstance(outcome, Refused):
            self._links.say(waiting.link, reply(waiting.number, Failed(Failure.of(outcome))))
        if not isinstance(outcome, Claimed):
            return 0
        if not outcome.leases:
            waiting.seen = outcome.seen
            if waiting.link in self._links:
                self._parked.put_back(waiting)
            return 0
        if not self._links.say(waiting.link, reply(waiting.number, Woken(outcome.seen, outcome.leases))):
            self._refuse(waiting)
        elif waiting.link in self._links:
            self._parked.wake_by(waiting.queue, outcome.leases[0].until)
            if (consumer := self._consumers.get(waiting.link.pid or 0)) is not None:
                consumer.note(waiting.commands, answer)
            return len(outcome.leases)
        self._give_back(waiting, answer)  # as it reached nobody
        return 0

    # --- Clients that come and go ---------------------------------------------------------------------

    def _welcome(self, link: Link) -> None:
        if link.pid is not None and link.pid not in self._consumers:
            self._watch_process(link.pid)
        self._links.say(link, reply(0, Welcome(WIRE, os.getpid(), self._broker.capabilities)))

    def _forget(self, link: Link) -> None:
        self._work.update(self._parked.forget(link))
        self._forget_process(link.pid)

    def _watch_process(self, pid: int) -> None:
        if (consumer := watched(pid)) is not None:
            self._consumers[pid] = consumer
            self._selector.register(consumer, selectors.EVENT_READ, partial(self._bury, consumer))

    def _bury(self, consumer: Consumer) -> None:
        """A client's process died: end its leases."""
        if self._consumers.get(consumer.pid) is not consumer:
            return  # its link was dropped in this very turn, and nothing is left to be done
        self._selector.unregister(consumer)
        self._dying = consumer.pid
        self._carry_out()  # what it asked for with its last breath
        for link in self._links.of(consumer.pid):  # which a process that it forked may hold open
            self._links.drop(link, Cut("its process died"))
        self._dying = 0
        del self._consumers[consumer.pid]
        will = consumer.last_will()
        consumer.close()
        for part in batched(will, self._broker.capabilities.max_batch):
            apply_together(self._broker.apply, [part])
        self._work.update(command.queue for command in will)

    def _forget_process(self, pid: int | None) -> None:
        """Watch a process no more that has nothing here; one that holds leases may come again."""
        consumer = self._consumers.get(pid or 0)
        if consumer is None or consumer.holds_leases or pid == self._dying or self._links.of(consumer.pid):
            return
        self._selector.unregister(consumer)
        del self._consumers[consumer.pid]
        consumer.close()

    def _end(self) -> None:
        """Deliver the last answers, say goodbye if this is one, and free everything."""
        self._links.close(says_goodbye=self.failure is None)
        for consumer in self._consumers.values():
            consumer.close()
        self._selector.close()
        with self._ending:
            os.close(self._waker)
            os.close(self._wake)
            self._wake = -1
