"""Mutants of what tasks have in common: groups, unique keys and pauses."""

from __future__ import annotations

from typing import Any

from distqueue.commands import Pause, Put, Resume
from distqueue.errors import GroupPriorityMismatch, InvalidTask, UniqueTaken
from distqueue.results import Claimed, PauseSet, QueueStats
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.table import backend as verbs
from distqueue_backends.table import steps
from distqueue_backends.table.entry import DEAD, LEASED, READY, SCHEDULED, Entry
from distqueue_backends.table.group import Group
from distqueue_backends.table.queue_table import QueueTable

from .damage import around, changed, nothing, pretend, replace
from .mutant import JSON, mutant

# --- Groups ------------------------------------------------------------------------------------------


def _heads(is_passed_over: Any) -> None:
    """Let the first member be the head that is not passed over."""

    def head(group: Group) -> Entry | None:
        return next((each for each in group if not is_passed_over(each)), None)

    def is_head(table: QueueTable, entry: Entry) -> bool:
        members = table.groups[entry.options.group or ""]
        first = next((each for each in members if not is_passed_over(each)), None)
        return first is entry

    replace(Group, "head", property(head))
    replace(QueueTable, "_is_head", is_head)


@mutant("the head of a group is passed over while it is scheduled", caught_by="GROUP-4 GROUP-7")
def a_scheduled_head_is_passed_over() -> None:
    _heads(lambda entry: entry.state == SCHEDULED and not entry.deliveries)


@mutant("the head of a group is passed over while it waits for its retry", caught_by="GROUP-5")
def a_retrying_head_is_passed_over() -> None:
    def retry(real: Any, table: QueueTable, entry: Entry, *args: Any) -> None:
        real(table, entry, *args)
        if entry.state == SCHEDULED and entry.options.group is not None:
            head = table.groups[entry.options.group].head
            if head is not None and head.state == READY:
                table._stand_in_line(head)

    _heads(lambda entry: entry.state == SCHEDULED and entry.deliveries)
    around(QueueTable, "retry", retry)


@mutant("the head of a group is passed over while it is out", caught_by="GROUP-1")
def a_leased_head_is_passed_over() -> None:
    replace(QueueTable, "_is_head", lambda table, entry: True)


@mutant(
    "a group stays blocked when its head is over",
    caught_by="GROUP-3 GROUP-13 GROUP-16 GROUP-17 WAIT-12",
)
def a_group_stays_blocked() -> None:
    def let_go(table: QueueTable, entry: Entry) -> None:
        table.unique.pop(entry.options.unique or "", None)

    replace(QueueTable, "_let_go", let_go)


@mutant("after an open any member of a group may be handed out", caught_by="REOPEN-8", url=JSON)
def groups_are_not_read_again() -> None:
    replace(QueueTable, "_is_head", lambda table, entry: True)


@mutant("a task that becomes due stands behind the others of its group", caught_by="GROUP-6")
def the_due_go_to_the_end_of_the_group() -> None:
    def place_due(real: Any, table: QueueTable, entry: Entry) -> None:
        group = table.groups.get(entry.options.group or "")
        if group is None or group.head is not entry:
            return real(table, entry)  # type: ignore[no-any-return]
        group._members.rotate(-1)
        table._move(entry, READY)
        entry.place = table.next_number
        table._stand_in_line(group.head)
        return None

    around(QueueTable, "place_due", place_due)


@mutant("a group holds up what is put behind it", caught_by="GROUP-2")
def a_group_holds_up_the_others() -> None:
    def take_next(real: Any, table: QueueTable, most: int, *args: Any) -> list[Entry]:
        if any(group.head is not None and group.head.state == LEASED for group in table.groups.values()):
            return []
        entries: list[Entry] = real(table, most, *args)
        return entries

    around(QueueTable, "take_next", take_next)


@mutant("a task that comes back goes to the end of its group", caught_by="GROUP-8 GROUP-9")
def a_return_goes_to_the_end_of_the_group() -> None:
    def to_the_end(table: QueueTable, entry: Entry) -> None:
        if (group := table.groups.get(entry.options.group or "")) is not None and len([*group]) > 1:
            group._members.remove(entry)
            group._members.append(entry)
            if group.head is not None and group.head.state == READY:
                table._stand_in_line(group.head)

    def retry(real: Any, table: QueueTable, entry: Entry, *args: Any) -> None:
        to_the_end(table, entry)
        real(table, entry, *args)

    def back(real: Any, table: QueueTable, entry: Entry) -> None:
        to_the_end(table, entry)
        real(table, entry)

    around(QueueTable, "retry", retry)
    around(QueueTable, "_back_in_line", back)


@mutant("a redriven task is the first of its group again", caught_by="GROUP-10 GROUP-19 REDRIVE-1")
def a_redrive_keeps_the_number() -> None:
    def redrive(table: QueueTable, entry: Entry) -> None:
        table.counts[DEAD] -= 1
        table.size -= steps_size(entry)
        entry.failures, entry.state, entry.until, entry.place = 0, READY, None, entry.number
        table.insert(entry)

    from distqueue_backends.table.size import size_of as steps_size

    replace(QueueTable, "redrive", redrive)


def _lets_pass(kind: type[Exception]) -> None:
    def check(real: Any, *args: Any) -> None:
        try:
            real(*args)
        except kind:
            return

    around(verbs, "check_free", check)
    around(steps, "check_free", check)


@mutant("a group may have several priorities", caught_by="GROUP-11 GROUP-18")
def groups_of_several_priorities() -> None:
    _lets_pass(GroupPriorityMismatch)


@mutant("a group keeps its priority for ever", caught_by="GROUP-13")
def a_group_keeps_its_priority() -> None:
    known: dict[tuple[int, str], int] = {}

    def check(real: Any, table: QueueTable, options: Any, *rest: Any) -> None:
        first = known.setdefault((id(table), options.group), options.priority)
        if options.group is not None and first != options.priority:
            raise GroupPriorityMismatch("another priority than before")
        real(table, options, *rest)

    around(verbs, "check_free", check)


@mutant("groups take turns, whatever their priorities", caught_by="GROUP-12 ORDER-2")
def groups_without_priority() -> None:
    def line(real: Any, table: QueueTable, priority: int) -> Any:
        return real(table, 0)

    around(QueueTable, "_line", line)


@mutant("tasks that wait for the head of their group are not counted apart", caught_by="GROUP-14")
def the_waiting_are_not_counted() -> None:
    def stats(real: Any, table: QueueTable) -> QueueStats:
        good: QueueStats = real(table)
        return changed(good, waiting=0)

    around(QueueTable, "stats", stats)


@mutant("a group is one in all queues", caught_by="GROUP-15")
def groups_of_the_store() -> None:
    groups: dict[str, Group] = {}

    def begin(real: Any, table: QueueTable) -> None:
        real(table)
        table.groups = groups

    around(QueueTable, "_begin", begin)


@mutant("a removed member takes those behind it with it", caught_by="GROUP-16")
def a_removed_member_breaks_the_chain() -> None:
    def remove(real: Any, table: QueueTable, entry: Entry, verb: str, at: float) -> None:
        group = table.groups.get(entry.options.group or "")
        if verb == "cancel" and group is not None and entry is not group.head:
            group._members.pop()
        real(table, entry, verb, at)

    around(QueueTable, "remove", remove)


# --- Unique keys -----------------------------------------------------------------------------------------


@mutant(
    "a finished task holds its unique key",
    caught_by="UNIQUE-3 UNIQUE-4 UNIQUE-5 THEN-6",
)
def finished_tasks_hold_their_key() -> None:
    def let_go(real: Any, table: QueueTable, entry: Entry) -> None:
        held = dict(table.unique)
        real(table, entry)
        table.unique.update(held)

    around(QueueTable, "_let_go", let_go)


@mutant("the key of the acked task is not free for its follow-up", caught_by="THEN-6")
def the_acked_task_holds_its_key() -> None:
    around(verbs, "check_free", lambda real, table, options, acked=None: real(table, options))


@mutant("a leased task lets go of its unique key", caught_by="UNIQUE-1")
def leased_tasks_let_go_of_their_key() -> None:
    def lease(real: Any, table: QueueTable, entries: Any, *args: Any) -> None:
        real(table, entries, *args)
        for entry in entries:
            table.unique.pop(entry.options.unique or "", None)

    around(QueueTable, "lease", lease)


@mutant("a scheduled task does not hold its unique key", caught_by="UNIQUE-2")
def scheduled_tasks_do_not_hold_their_key() -> None:
    def note(real: Any, table: QueueTable, entry: Entry) -> None:
        real(table, entry)
        if entry.state == SCHEDULED:
            table.unique.pop(entry.options.unique or "", None)

    around(QueueTable, "_note_options", note)


@mutant("the keys are looked at before it is seen that a task is a duplicate", caught_by="UNIQUE-6")
def keys_before_ids() -> None:
    def store(real: Any, backend: MemoryBackend, table: QueueTable, put: Put) -> Any:
        steps.check_free(table, put.options)
        return real(backend, table, put)

    around(MemoryBackend, "_store_in", store)


@mutant("a redrive does not look whether a unique key is taken", caught_by="UNIQUE-8 UNIQUE-9")
def a_redrive_ignores_keys() -> None:
    nothing(steps, "check_free")


@mutant("unique keys are those of the whole store", caught_by="UNIQUE-10")
def keys_of_the_store() -> None:
    keys: dict[str, Entry] = {}

    def begin(real: Any, table: QueueTable) -> None:
        real(table)
        table.unique = keys

    around(QueueTable, "_begin", begin)


@mutant("a taken key is refused without the id of the task that has it", caught_by="UNIQUE-1 UNIQUE-7")
def nameless_holders() -> None:
    replace(verbs, "check_free", _anonymous(steps.check_free))


def _anonymous(real: Any) -> Any:
    def check(*args: Any) -> None:
        try:
            real(*args)
        except UniqueTaken as taken:
            raise UniqueTaken(str(taken), "") from None

    return check


# --- Pauses -------------------------------------------------------------------------------------------


@mutant("a pause is answered, and changes nothing", caught_by="PAUSE-1 PAUSE-4 FENCE-8 FENCE-15")
def pretended_pauses() -> None:
    pretend(Pause, lambda pause: PauseSet(paused=True))
    pretend(Resume, lambda resume: PauseSet(paused=False))


@mutant("a paused queue takes no tasks", caught_by="PAUSE-2 PAUSE-5")
def a_paused_queue_takes_nothing() -> None:
    def store(real: Any, backend: MemoryBackend, table: QueueTable, put: Put) -> Any:
        if table.paused:
            raise InvalidTask("the queue is paused")
        return real(backend, table, put)

    around(MemoryBackend, "_store_in", store)


@mutant("pauses are counted, and each needs a resume", caught_by="PAUSE-3")
def pauses_are_counted() -> None:
    counts: dict[tuple[int, str], int] = {}

    def pause(real: Any, backend: MemoryBackend, queue: str, paused: bool) -> PauseSet:
        key = (id(backend), queue)
        counts[key] = counts.get(key, 0) + (1 if paused else -1)
        set_: PauseSet = real(backend, queue, counts[key] > 0)
        return set_

    around(MemoryBackend, "pause", pause)


@mutant("a pause stops every queue", caught_by="PAUSE-4")
def a_pause_stops_every_queue() -> None:
    def claim(real: Any, backend: MemoryBackend, *args: Any) -> Claimed:
        if any(table.paused for table in backend.tables.values()):
            return Claimed(leases=[])
        claimed: Claimed = real(backend, *args)
        return claimed

    around(MemoryBackend, "claim", claim)


@mutant("a resume wakes nobody", caught_by="WAIT-11")
def a_resume_wakes_nobody() -> None:
    def pause(real: Any, backend: MemoryBackend, queue: str, paused: bool) -> PauseSet:
        version = backend.table(queue).version
        set_: PauseSet = real(backend, queue, paused)
        backend.table(queue).version = version
        return set_

    around(MemoryBackend, "pause", pause)
