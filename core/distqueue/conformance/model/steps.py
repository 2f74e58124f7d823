"""Steps through the lifecycle: a name and some bytes each, of which a command is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from distqueue.commands import (
    Ack,
    Cancel,
    Claim,
    Command,
    Extend,
    Pause,
    Purge,
    Put,
    Redrive,
    Reject,
    Release,
    Resume,
    Retry,
)
from distqueue.payload import encode
from distqueue.results import Claimed, Outcome
from distqueue.retry import Backoff
from distqueue.task import TaskState

NAMES: Final = (
    *["put"] * 7,
    *["claim"] * 5,
    *["ack", "ack", "follow", "retry", "retry", "release", "reject", "extend", "again"],
    *["cancel", "redrive", "redrive", "purge", "pause", "resume"],
)
"""The names of the steps, each as often as it is to be taken."""
CHOICES: Final = 12
"""How many bytes a step has to choose by."""
FOREVER: Final = 60
"""A duration that does not end during a walk, in units."""
_STATES: Final = ((), *((state,) for state in TaskState), (TaskState.READY, TaskState.LEASED))


class Choice:
    """Bytes that choose, one after another; where there are no more, and by 0, the first is chosen."""

    def __init__(self, bytes_: bytes) -> None:
        self._left = iter(bytes_)

    def of[T](self, *options: T) -> T:
        """One of the options."""
        return options[next(self._left, 0) % len(options)]


class Steps:
    """Makes commands about few tasks, so that they meet, and notes what later ones may name.

    What the backend does not declare (``lacks``) is not asked for. ``lasts`` gives the seconds of a duration
    in units: 1 is over when a unit has passed.
    """

    def __init__(
        self, queues: Sequence[str], lacks: Callable[[str], bool], lasts: Callable[[int], float]
    ) -> None:
        self._queues = queues
        self._lacks = lacks
        self._lasts = lasts
        self._receipts: list[tuple[str, str]] = []
        self._tokens: list[str] = []
        self._tasks = 0

    def note(self, commands: Sequence[Command], outcomes: Sequence[Outcome]) -> None:
        """Keep the receipts that were had."""
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, Claimed):
                self._receipts += [(command.queue, lease.receipt) for lease in outcome.leases]

    def command(self, name: str, chooses: bytes) -> Command:
        """Make the command of a step; one that cannot be made is a put."""
        choice = Choice(chooses)
        queue = choice.of(*[self._queues[0]] * 5, *self._queues)
        match name:
            case "claim":
                return self._claim(queue, choice)
            case "again" if self._tokens:
                return Claim(queue=queue, token=choice.of(*self._tokens[::-1]), again=True)
            case "cancel" if self._tasks:
                return Cancel(queue=queue, task_id=self._known(choice))
            case "redrive":
                return self._redrive(queue, choice)
            case "purge" if choice.of(True, False, False):
                return Purge(queue=queue, states=choice.of(*_STATES[::-1]))
            case "pause" | "resume" if not self._lacks("pause"):
                return Pause(queue=queue) if name == "pause" else Resume(queue=queue)
            case _ if self._receipts and name not in ("put", "purge"):
                return self._settle(name, choice)
        return self._put(queue, choice)

    @property
    def tasks(self) -> list[str]:
        """The ids that were given."""
        return [f"t{number}" for number in range(self._tasks)]

    # --- Each command -------------------------------------------------------------------------------

    def _known(self, choice: Choice) -> str:
        return choice.of(*self.tasks[::-1])

    def _put(self, queue: str, choice: Choice) -> Put:
        is_new = choice.of(True, True, True, False) or not self._tasks
        task_id = f"t{self._tasks}" if is_new else self._known(choice)
        self._tasks += is_new
        data = encode("data") if is_new or choice.of(True, True, False) else encode("other data")
        return Put.make(queue, task_id, data, **self._options(task_id, choice))

    def _options(self, task_id: str, choice: Choice) -> dict[str, Any]:
        options: dict[str, Any] = {
            "max_attempts": choice.of(5, 1, 2, None),
            "headers": choice.of(None, None, {"trace": "1"}),
        }
        if priority := choice.of(0, 0, 3, 9) * (not self._lacks("priorities")):
            options["priority"] = priority
        group = choice.of(None, None, None, "g", "h")
        if self._lacks("ordering"):  # where an id is known may depend on its group: it keeps it
            group = (None, None, "g", "h")[int(task_id[1:]) % 4]
        if group and not self._lacks("groups"):
            options |= {"group": group, **({"priority": 3} if priority and choice.of(True, False) else {})}
        if (unique := choice.of(None, None, None, None, "u", "v")) and not self._lacks("unique"):
            options["unique"] = unique
        if (units := choice.of(0, 0, 0, 1, 2)) and not self._lacks("expiry"):
            options["expires_in"] = self._lasts(units)
        if (units := choice.of(0, 0, 2, 3, FOREVER)) and not self._lacks("keep_done"):
            options["keep_done"] = self._lasts(units)
        if (units := choice.of(0, 0, 0, 1, 2, 3)) and not self._lacks("delay"):
            options["delay"] = self._lasts(units)
        return options

    def _claim(self, queue: str, choice: Choice) -> Claim:
        self._tokens.append(f"token{len(self._tokens)}")
        lease = self._lasts(choice.of(FOREVER, 1, 1, 2))
        return Claim(queue=queue, token=self._tokens[-1], count=choice.of(1, 1, 2, 3, 10), lease=lease)

    def _redrive(self, queue: str, choice: Choice) -> Redrive:
        match choice.of("all", "all", "one", "error"):
            case "one" if self._tasks:
                return Redrive(queue=queue, task_id=self._known(choice))
            case "error":
                return Redrive(queue=queue, error="wrong")
        return Redrive(queue=queue)

    def _settle(self, name: str, choice: Choice) -> Command:
        newest = self._receipts[-8 if choice.of(False, True) else -3 :]
        queue, receipt = choice.of(*newest[::-1])
        error = choice.of("failed", "wrong input")
        match name:
            case "retry":
                return self._retry(queue, receipt, error, choice)
            case "reject":
                trace = choice.of(None, "in line 7")
                return Reject(queue=queue, receipt=receipt, error=error, traceback=trace)
            case "release" if not self._lacks("attempts_apart_from_deliveries"):
                units = 0 if self._lacks("delay") else choice.of(0, 0, 1, 2)
                return Release(queue=queue, receipt=receipt, delay=self._lasts(units) if units else 0.0)
            case "extend":
                return Extend(queue=queue, receipt=receipt, lease=self._lasts(choice.of(1, 2, FOREVER)))
            case "follow":
                places = (queue, *choice.of((), (queue,), tuple(self._queues)))
                then = [self._put(place, choice) for place in places]
                return Ack(queue=queue, receipt=receipt, then=tuple(then))
        return Ack(queue=queue, receipt=receipt)

    def _retry(self, queue: str, receipt: str, error: str, choice: Choice) -> Retry:
        units = 0 if self._lacks("delay") else choice.of(0, 0, 1, 2)
        failed = Retry(queue=queue, receipt=receipt, error=error, traceback=choice.of(None, "in line 7"))
        if units and choice.of(False, True):
            return replace(failed, backoff=Backoff(self._lasts(units), factor=1.0, cap=1e9, jitter=0.0))
        return replace(failed, delay=self._lasts(units) if units else 0.0)


def told(value: Any) -> str:
    """Describe a command or an outcome by what is not as always."""
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(told, value))}]"
    if not hasattr(value, "__struct_fields__"):
        return repr(value)
    fields, defaults = value.__struct_fields__, value.__struct_defaults__
    usual = dict(zip(fields[len(fields) - len(defaults) :], defaults))
    shown = [(name, getattr(value, name)) for name in fields]
    parts = [f"{name}={told(each)}" for name, each in shown if name not in usual or usual[name] != each]
    return f"{type(value).__name__}({', '.join(parts)})"
