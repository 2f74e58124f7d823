"""One queue of the model: plain lists, searched from the beginning each time."""

from __future__ import annotations

from dataclasses import dataclass, field

from distqueue.commands import Put
from distqueue.conformance.model.answers import ANYTHING
from distqueue.conformance.model.tasks import ModelGone, ModelTask
from distqueue.task import TaskState


@dataclass
class ModelQueue:
    """The tasks of a queue, the ids that it remembers, and whether it is paused."""

    window: float
    """For how many seconds the id of a task that is gone is remembered."""
    tasks: list[ModelTask] = field(default_factory=list)
    gone: list[ModelGone] = field(default_factory=list)
    paused: bool = False
    expired: int = 0
    numbers: int = 0
    places: int = 0

    # --- Looking up ---------------------------------------------------------------------------------

    def find(self, task_id: str) -> ModelTask | None:
        """The task with an id."""
        return next((task for task in self.tasks if task.task_id == task_id), None)

    def find_gone(self, task_id: str) -> ModelGone | None:
        """What was last remembered of an id whose task is gone."""
        return next((gone for gone in reversed(self.gone) if gone.task_id == task_id), None)

    def holder(self, key: str | None) -> ModelTask | None:
        """The task that holds a unique key."""
        return next((task for task in self.tasks if task.is_live and task.options.unique == key), None)

    def members(self, group: str | None) -> list[ModelTask]:
        """The tasks of a group that are on their way, in their order."""
        return sorted(
            (task for task in self.tasks if task.is_live and task.options.group == group),
            key=lambda task: task.number,
        )

    def in_state(self, *states: TaskState) -> list[ModelTask]:
        """The tasks in some states (all if none is named), in the order of publishing."""
        found = [task for task in self.tasks if not states or task.state in states]
        return sorted(found, key=lambda task: task.number)

    def line(self) -> list[ModelTask]:
        """The tasks that can be claimed, in the order of claims."""
        ready = [task for task in self.in_state(TaskState.READY) if not self.is_held_back(task)]
        return sorted(ready, key=lambda task: (-task.options.priority, task.place))

    def is_held_back(self, task: ModelTask) -> bool:
        """Whether a task has to wait for the head of its group."""
        return task.options.group is not None and self.members(task.options.group)[0] is not task

    # --- Changes ------------------------------------------------------------------------------------

    def add(self, put: Put, due: float | None, now: float) -> None:
        """A new task: ready, or scheduled if it has a due time."""
        task = ModelTask(put.task_id, put.data, put.options, self.next_number(), put_at=now)
        self.tasks.append(task)
        if due is None:
            self.make_ready(task, at_the_end=True)
        else:
            task.state, task.until = TaskState.SCHEDULED, due

    def next_number(self) -> int:
        """The next number in the order of publishing."""
        self.numbers += 1
        return self.numbers

    def make_ready(self, task: ModelTask, *, at_the_end: bool) -> None:
        """Put a task at the end of the line, or back where it was."""
        task.state, task.until, task.token = TaskState.READY, None, None
        if at_the_end:
            self.places += 1
            task.place = self.places

    def make_dead(self, task: ModelTask) -> None:
        """A task that is not tried again."""
        task.state, task.until, task.place = TaskState.DEAD, None, None

    def end(self, task: ModelTask, by: str, now: float, at: float | None = None) -> None:
        """A task is gone; if it has been so since ``at``, its id may be forgotten that much sooner."""
        out = task.receipts[-1] if task.state is TaskState.LEASED and not task.is_over(now) else None
        surely = (now if at is None else at) + self.window
        self.tasks.remove(task)
        self.gone.append(
            ModelGone(
                task.task_id,
                task.data,
                by,
                task.receipts,
                out,
                task.settled,
                surely=surely,
                perhaps=now + self.window,
            )
        )

    # --- Time ---------------------------------------------------------------------------------------

    def is_pending(self, now: float) -> bool:
        """Whether time has done something that the next claim will notice."""
        return any(task.is_over(now) for task in self.tasks)

    def notice(self, now: float) -> None:
        """Let happen what time does: leases run out, tasks expire, are forgotten, and become due."""
        for task in [task for task in self.tasks if task.is_over(now)]:
            if task.has_expired(now):
                self.expired += 1
                self.end(task, "expire", now, at=task.expires_at)
            elif task.state is TaskState.LEASED:
                self.lapse(task)
            elif task.state is TaskState.DONE:
                self.end(task, "ack", now, at=task.until)
        due = [task for task in self.in_state(TaskState.SCHEDULED) if task.is_over(now)]
        for task in sorted(due, key=lambda task: task.until or 0.0):
            self.make_ready(task, at_the_end=True)

    def lapse(self, task: ModelTask) -> None:
        """A lease ran out: an attempt is used up, and the task is back at its old place."""
        task.error = ANYTHING
        task.fail("lapse", task.until or 0.0, ANYTHING)
        if not self.use_up(task):
            self.make_dead(task)
        else:
            self.make_ready(task, at_the_end=False)

    def use_up(self, task: ModelTask) -> bool:
        """Use up an attempt; whether there is another one."""
        if task.options.max_attempts is not None and task.attempt >= task.options.max_attempts:
            return False
        task.attempt += 1
        return True
