"""One queue in memory: its tasks, who is next, and the steps of the lifecycle.

Each method carries out one step that has been decided. The steps are the same whether a command
has just decided them or a log is read again, and depend on nothing but their arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import inf

from distqueue.fences import OPEN
from distqueue.results import QueueStats
from distqueue.task import DEFAULT_OPTIONS
from distqueue_backends.table.agenda import Agenda
from distqueue_backends.table.entry import (
    DEAD,
    DONE,
    GONE,
    LEASED,
    READY,
    SCHEDULED,
    Entry,
)
from distqueue_backends.table.group import Group
from distqueue_backends.table.history import History
from distqueue_backends.table.line import Line
from distqueue_backends.table.pager import Pager
from distqueue_backends.table.remembered import Gone, Remembered
from distqueue_backends.table.size import size_of, text_size
from distqueue_backends.table.where import payload_size


class QueueTable:
    """The tasks of one queue by id, and every view of them that a command needs."""

    def __init__(self, name: str, dedup_window: float, dedup_max: int) -> None:
        self.name = name
        self.fence = OPEN
        self.version = self.version_at_start = 0
        self._dedup = (dedup_window, dedup_max)
        self._begin()

    def _begin(self) -> None:
        """Be as a queue that nobody has used yet."""
        self.tasks: dict[str, Entry] = {}
        self.counts = [0, 0, 0, 0, 0, 0]
        self.next_number = 1
        self.last_number = 0
        self.paused = False
        self.expired = 0
        self.remembered = Remembered(*self._dedup)
        self.unique: dict[str, Entry] = {}
        self.groups: dict[str, Group] = {}
        self.history = History()
        self.size = 0
        self._pager = Pager()
        self._lines: dict[int, Line] = {}
        self.due = Agenda(lambda e, at: e.state == SCHEDULED and e.until == at)
        self.leases = Agenda(lambda e, at: e.state == LEASED and e.until == at)
        self.expiring = Agenda(lambda e, at: e.state <= READY and not e.deliveries and e.expires_at == at)
        self.keeping = Agenda(lambda e, at: e.state == DONE and e.until == at)

    # --- Who is next ------------------------------------------------------------------------------

    def take_next(self, most: int, most_bytes: float = inf) -> list[Entry]:
        """Take the first tasks out of the lines, the highest priority first.

        No more once their payloads have ``most_bytes`` together.
        """
        taken: list[Entry] = []
        size, is_large = 0, self.size > most_bytes
        for priority in sorted(self._lines, reverse=True):
            line = self._lines[priority]
            while len(taken) < most and size < most_bytes and (entry := line.pop()) is not None:
                if entry.options.group is None or self._is_head(entry):
                    taken.append(entry)
                    if is_large:
                        size += payload_size(entry.where)
            if len(taken) == most or size >= most_bytes:
                break
        return taken

    def first_priority(self) -> int | None:
        """Return the priority of the task that comes next, ``None`` if nobody is in line."""
        if self.counts[READY]:
            for priority in sorted(self._lines, reverse=True):
                if self._lines[priority].first() is not None:
                    return priority
        return None

    def has_tasks(self) -> bool:
        """Whether there is a task, in whatever state."""
        return bool(self.tasks)

    def in_line(self) -> Iterator[Entry]:
        """Go through the tasks that could be claimed now, in that order."""
        for priority in sorted(self._lines, reverse=True):
            yield from (entry for entry in self._lines[priority] if self._is_head(entry))

    def wake_at(self) -> float | None:
        """Return when the next task may become claimable by itself."""
        agendas = (self.due, self.leases, self.expiring)
        return min((at for agenda in agendas if (at := agenda.next_at()) is not None), default=None)

    def in_states(self, states: Collection[int]) -> list[Entry]:
        """Return the tasks in some states, in the order in which they were put."""
        entries = [entry for entry in self.tasks.values() if entry.state in states]
        return sorted(entries, key=lambda entry: entry.number)

    def page(self, states: Collection[int], limit: int, after: int | None) -> tuple[list[Entry], int | None]:
        """Return up to ``limit`` tasks with a number over ``after``, and the number to go on from."""
        return self._pager.page(self, states, limit, after)

    def stats(self) -> QueueStats:
        """Return the counts of the queue."""
        counts = self.counts
        members = (entry for group in self.groups.values() for entry in group if entry is not group.head)
        firsts = (next(filter(self._is_head, line), None) for line in self._lines.values())
        return QueueStats(
            queue=self.name,
            ready=counts[READY],
            scheduled=counts[SCHEDULED],
            leased=counts[LEASED],
            done=counts[DONE],
            dead=counts[DEAD],
            waiting=sum(entry.state == READY for entry in members),
            remembered=len(self.remembered),
            expired=self.expired,
            paused=self.paused,
            fence=self.fence.level,
            fence_note=self.fence.note,
            oldest_ready_at=min((first.put_at for first in firsts if first is not None), default=None),
            next_due_at=self.due.next_at(),
        )

    # --- The steps --------------------------------------------------------------------------------

    def put(self, entry: Entry) -> None:
        """A new task, ready or (``until`` is given) scheduled."""
        entry.number = self.last_number = self.next_number
        self.next_number += 1
        if entry.until is None:
            entry.place = entry.number
        self.insert(entry)

    def knows_any(self, ids: Sequence[str]) -> bool:
        """Whether one of the ids is that of a task here, or may be remembered."""
        return not (self.tasks.keys().isdisjoint(ids) and self.remembered.ids.isdisjoint(ids))

    def put_together(self, entries: Sequence[Entry], ids: Sequence[str], payloads: Sequence[bytes]) -> None:
        """New tasks without options, ready, with their numbers and places, at the end of the line."""
        self.next_number += len(entries)
        self.last_number = entries[-1].number
        self.tasks.update(zip(ids, entries))
        self.counts[READY] += len(entries)
        self.size += sum(map(len, ids)) + sum(map(len, payloads))
        self._line(0).extend(entries)
        self.version += 1

    def insert(self, entry: Entry) -> None:
        """A task with its number, place and state, as they are."""
        self.tasks[entry.task_id] = entry
        self.counts[entry.state] += 1
        self.size += size_of(entry)
        if entry.options is not DEFAULT_OPTIONS:
            self._note_options(entry)
        if entry.state == READY:
            self._stand_in_line(entry)
        elif entry.until is not None:
            self._note(entry)

    def place_due(self, entry: Entry) -> None:
        """A scheduled task whose time has come takes its place at the end."""
        self._move(entry, READY)
        self._new_place(entry)

    def lease(self, entries: Sequence[Entry], token: str, until: float) -> None:
        """Ready tasks, taken out of their lines, are handed out."""
        self.counts[READY] -= len(entries)
        self.counts[LEASED] += len(entries)
        for entry in entries:
            entry.state = LEASED
            entry.deliveries += 1
            entry.token = token
            entry.settled = None
            entry.until = until
        self.leases.add(until, entries)

    def extend(self, entry: Entry, until: float) -> None:
        """A lease ends later, or earlier: then whoever waits for its end has to know."""
        self.version += until < (entry.until or 0.0)
        entry.until = until
        self.leases.add(until, (entry,))

    def release(self, entry: Entry, due: float | None) -> None:
        """A delivery is given back: the task stands where it stood, or waits until it is due."""
        entry.settled = "release"
        if due is None:
            self._back_in_line(entry)
        else:
            self._schedule(entry, due)

    def lapse(self, entry: Entry, error: str) -> None:
        """A lease ran out: that used up an attempt."""
        entry.token = None
        self._fail(entry, entry.until or 0.0, "lapse", error)
        if self._is_used_up(entry):
            self._bury(entry, error)
        else:
            self._back_in_line(entry)

    def retry(
        self, entry: Entry, due: float | None, error: str | None, traceback: str | None, at: float
    ) -> None:
        """An attempt failed: again at ``due``, or (``None``) at once at the end of the line, or dead."""
        entry.settled = "retry"
        self._fail(entry, at, "retry", error, traceback)
        self._note_error(entry, error)
        if self._is_used_up(entry):
            self._bury(entry, error)
        elif due is None:
            self._move(entry, READY)
            self._new_place(entry)
        else:
            self._schedule(entry, due)

    def reject(self, entry: Entry, error: str | None, traceback: str | None, at: float) -> None:
        """A task that can never succeed is dead."""
        entry.settled = "reject"
        self._fail(entry, at, "reject", error, traceback)
        self._bury(entry, error)

    def ack(self, entry: Entry, at: float) -> None:
        """A task is carried out: done for as long as it is kept, else gone."""
        entry.settled = "ack"
        if entry.options.keep_done:
            self._move(entry, DONE)
            entry.until = at + entry.options.keep_done
            self.keeping.add(entry.until, (entry,))
            self._let_go(entry)
        else:
            self.remove(entry, "ack", at)

    def redrive(self, entry: Entry) -> None:
        """A dead task is as if put again, at the end of the line; its group let go of it when it died."""
        self.counts[DEAD] -= 1
        self.size -= size_of(entry)
        entry.failures = 0
        entry.number = entry.place = self.last_number = self.next_number
        self.next_number += 1
        entry.state = READY
        entry.until = None
        self.insert(entry)

    def remove(self, entry: Entry, verb: str, at: float) -> None:
        """A task goes for good, and its id is remembered for a while."""
        if entry.state == READY and (line := self._lines.get(entry.options.priority)) is not None:
            line.leave()
        del self.tasks[entry.task_id]
        self.history.drop(entry)
        self.size -= size_of(entry)
        self.counts[entry.state] -= 1
        entry.state = GONE
        entry.until = None
        self.expired += verb == "expire"
        if entry.options is not DEFAULT_OPTIONS:
            self._let_go(entry)
        self.remembered.add(Gone(entry.task_id, at, entry.checksum, verb, entry.deliveries, entry.token))

    def clear(self) -> None:
        """All is forgotten but the fence."""
        self._begin()
        self.version += 1

    # --- Within -----------------------------------------------------------------------------------

    def _move(self, entry: Entry, state: int) -> None:
        self.counts[entry.state] -= 1
        self.counts[state] += 1
        entry.state = state
        entry.until = None

    def _schedule(self, entry: Entry, due: float) -> None:
        """Let a task that was out wait until it is due."""
        self._move(entry, SCHEDULED)
        entry.place = None
        entry.until = due
        self._note(entry)
        self.version += 1

    def _note(self, entry: Entry) -> None:
        """Put a task that waits for a time on the agenda of its state."""
        until = entry.until or 0.0
        if entry.state == SCHEDULED:
            self.due.add(until, (entry,))
            self.version += 1
        else:
            (self.leases if entry.state == LEASED else self.keeping).add(until, (entry,))

    def _note_options(self, entry: Entry) -> None:
        """Let a task hold its unique key, stand in its group and expire."""
        options = entry.options
        if options.group is not None and entry.is_live:
            self.groups.setdefault(options.group, Group(options.priority)).add(entry)
        if options.unique is not None and entry.is_live:
            self.unique[options.unique] = entry
        if options.expires_in is not None:
            self.expiring.add(entry.put_at + options.expires_in, (entry,))

    def _is_used_up(self, entry: Entry) -> bool:
        most = entry.options.max_attempts
        return most is not None and entry.failures >= most

    def _fail(
        self, entry: Entry, at: float, verb: str, error: str | None, traceback: str | None = None
    ) -> None:
        """Count and note an attempt that failed."""
        entry.failures += 1
        self.history.add(entry, at, verb, error, traceback)

    def _bury(self, entry: Entry, error: str | None) -> None:
        self._move(entry, DEAD)
        entry.place = None
        self._note_error(entry, error)
        self._let_go(entry)

    def _note_error(self, entry: Entry, error: str | None) -> None:
        self.size += text_size(error) - text_size(entry.error)
        entry.error = error

    def _new_place(self, entry: Entry) -> None:
        entry.place = self.next_number
        self.next_number += 1
        self._stand_in_line(entry)

    def _back_in_line(self, entry: Entry) -> None:
        self._move(entry, READY)
        self._stand_in_line(entry)

    def _stand_in_line(self, entry: Entry) -> None:
        """Let a ready task stand at its place, unless the head of its group blocks it."""
        if entry.options.group is not None and not self._is_head(entry):
            return
        self._line(entry.options.priority).add(entry)
        self.version += 1

    def _line(self, priority: int) -> Line:
        line = self._lines.get(priority)
        if line is None:
            line = self._lines[priority] = Line()
        return line

    def _is_head(self, entry: Entry) -> bool:
        group = entry.options.group
        return group is None or self.groups[group].head is entry

    def _let_go(self, entry: Entry) -> None:
        """A task that is no longer live gives up its unique key and its place in its group."""
        options = entry.options
        if options.unique is not None and self.unique.get(options.unique) is entry:
            del self.unique[options.unique]
        group = self.groups.get(options.group) if options.group is not None else None
        if group is not None and group.lets_go(entry):
            if (head := group.head) is None:
                del self.groups[options.group or ""]
            elif head.state == READY:
                self._stand_in_line(head)
