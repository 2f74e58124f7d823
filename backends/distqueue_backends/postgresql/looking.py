"""Looking at tasks without touching them: one, a page of them, or the ids that are remembered."""

from __future__ import annotations

from collections.abc import Sequence

from distqueue.results import Browsed
from distqueue.task import TaskRecord, TaskState
from distqueue_backends.postgresql import reading
from distqueue_backends.postgresql.transactions import Transactions


class Looking(Transactions):
    """The verbs of a backend that only read tasks."""

    def find(self, queue: str, task_id: str) -> TaskRecord | None:
        ((number, _, _, _),) = self.ask(reading.LOOK, (queue,))
        found = reading.records(self.ask, queue, number, reading.BY_ID, sayable(task_id))
        return found[0] if found else None

    def browse(
        self, queue: str, states: Sequence[TaskState], order: str, limit: int, after: int | None
    ) -> Browsed:
        ((number, _, _, _),) = self.ask(reading.LOOK, (queue,))
        if order == "line":
            numbers, _ = reading.cut_page(self.ask(reading.LINE, (number, limit)), limit)
            found = reading.records(self.ask, queue, number, reading.BY_NUMBERS, numbers)
            places = {each: position for position, each in enumerate(numbers)}
            return Browsed(tasks=sorted(found, key=lambda record: places[record.number]))
        wanted = [TaskState(state).value for state in states] or None
        page = self.ask(reading.PAGE, (number, wanted, after or 0, limit + 1))
        numbers, following = reading.cut_page(page, limit)
        return Browsed(
            tasks=reading.records(self.ask, queue, number, reading.BY_NUMBERS, numbers), next=following
        )

    def remembered(self, queue: str, limit: int, after: int | None) -> Browsed:
        ((number, _, _, _),) = self.ask(reading.LOOK, (queue,))
        rows = self.ask(reading.REMEMBERED, (number, after or 0, limit + 1))
        following = rows[limit - 1][0] if len(rows) > limit else None
        return Browsed(remembered=[reading.remembered_of(queue, row) for row in rows[:limit]], next=following)


def sayable(text: str | None) -> str | None:
    """Return a task id, or one that no task has if no task can have this one."""
    return text if text is None or (text.isascii() and "\0" not in text) else ""
