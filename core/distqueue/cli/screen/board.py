"""What ``top`` knows of a store, and what the keys do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from distqueue.cli.output import counted
from distqueue.cli.screen.rate import Rate
from distqueue.cli.store import Store
from distqueue.commands import Browse, Cancel, Pause, Redrive, Resume, Stats
from distqueue.errors import Refused
from distqueue.results import Browsed, Counted, PauseSet, QueueStats, Redriven, Removed
from distqueue.task import TaskRecord, TaskState

DEAD_SHOWN: Final = 100
"""How many dead tasks are listed, the oldest first."""


class Board:
    """Queues with their growth, one of which is chosen, and its dead tasks while they are looked at."""

    def __init__(self, store: Store, queue: str | None = None) -> None:
        self.queues: list[QueueStats] = []
        self.chosen: str | None = queue
        """The name of the queue that keys are about."""
        self.dead: list[TaskRecord] | None = None
        """Its dead tasks, ``None`` while the queues are looked at."""
        self.position = 0
        """Which of the dead tasks is chosen."""
        self.said = ""
        """What came of the last key."""
        self.trouble = ""
        """Why the store cannot be asked just now."""
        self.question = ""
        """What is to be answered with ``y`` first."""
        self.is_over = False
        self._store = store
        self._only = queue
        self._rates: dict[str, Rate] = {}
        self._if_yes: Callable[[], None] = _nothing

    # --- What is there --------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Count anew, in one call; ``now`` is on the monotonic clock.

        Raises:
            StoreError: the store cannot be read.
        """
        self.queues = self._store.ask(Stats(queue=self._only or "*"), Counted).queues
        self.trouble = ""
        for each in self.queues:
            self._rates.setdefault(each.queue, Rate()).note(now, _backlog(each))
        if self.queues and self.chosen not in [each.queue for each in self.queues]:
            self.chosen = self.queues[0].queue

    def growth(self, queue: QueueStats) -> float | None:
        """Return how many tasks a second a queue's backlog has grown by lately, ``None`` if not known."""
        return self._rates[queue.queue].per_second

    def empty_in(self, queue: QueueStats) -> float | None:
        """Return in how many seconds there is no backlog at this rate, ``None`` if it does not shrink."""
        growth = self.growth(queue)
        return _backlog(queue) / -growth if growth is not None and growth < 0 else None

    # --- Keys -----------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        """Do what a key stands for.

        Raises:
            StoreError, OutcomeUnknown: the store cannot be asked.
        """
        if self.question:
            self._answer(key)
            return
        self.said = ""
        action = (_OF_QUEUES if self.dead is None else _OF_DEAD).get(key)
        try:
            if action is not None and self.chosen is not None:
                action(self)
            elif key == "q":
                self.is_over = True
        except Refused as refused:
            self.said = str(refused)

    def _answer(self, key: str) -> None:
        self.question, self.said = "", "nothing was done"
        if key in "yY":
            self.said = ""
            try:
                self._if_yes()
            except Refused as refused:
                self.said = str(refused)

    def _move(self, by: int) -> None:
        if self.dead is not None:
            self.position = min(max(0, self.position + by), max(0, len(self.dead) - 1))
            return
        names = [each.queue for each in self.queues]
        place = names.index(self._queue) + by if self._queue in names else 0
        self.chosen = names[min(max(0, place), len(names) - 1)] if names else self.chosen

    def _pause(self) -> None:
        name = self._queue
        is_paused = any(each.paused for each in self.queues if each.queue == name)
        self._store.ask(Resume(queue=name) if is_paused else Pause(queue=name), PauseSet)
        self.said = f"queue {name} is {'resumed' if is_paused else 'paused'}"

    def _ask_redrive(self) -> None:
        self.question = f"Make all dead tasks of queue {self._queue} ready again?"
        self._if_yes = self._redrive

    def _redrive(self) -> None:
        redriven = self._store.ask(Redrive(queue=self._queue), Redriven)
        refused = f"; {counted(len(redriven.refused), 'task')} stay dead" if redriven.refused else ""
        self.said = f"redriven: {counted(redriven.count, 'task')}{refused}"

    def _list_dead(self) -> None:
        browse = Browse(queue=self._queue, states=(TaskState.DEAD,), limit=DEAD_SHOWN)
        self.dead = self._store.ask(browse, Browsed).tasks
        self._move(0)

    def _leave_dead(self) -> None:
        self.dead, self.position = None, 0

    def _ask_cancel(self) -> None:
        if not self.dead:
            return
        task_id = self.dead[self.position].task_id
        self.question = f"Remove dead task {task_id} of queue {self._queue}?"
        self._if_yes = lambda: self._cancel(task_id)

    def _cancel(self, task_id: str) -> None:
        removed = self._store.ask(Cancel(queue=self._queue, task_id=task_id), Removed)
        self.said = f"{removed.task_id} is cancelled; it was {removed.state}"
        self._list_dead()

    @property
    def _queue(self) -> str:
        if self.chosen is None:
            raise RuntimeError("keys are about a queue only if there is one")
        return self.chosen


type Action = Callable[[Board], None]

_OF_QUEUES: Final[dict[str, Action]] = {
    "j": lambda board: board._move(1),
    "k": lambda board: board._move(-1),
    "p": Board._pause,
    "r": Board._ask_redrive,
    "d": Board._list_dead,
}
_OF_DEAD: Final[dict[str, Action]] = {
    "j": lambda board: board._move(1),
    "k": lambda board: board._move(-1),
    "c": Board._ask_cancel,
    "d": Board._leave_dead,
    "q": Board._leave_dead,
    "escape": Board._leave_dead,
}


def _backlog(queue: QueueStats) -> int:
    return queue.ready + queue.scheduled + queue.leased


def _nothing() -> None:
    pass
