"""``schedules``: what is enqueued when, and stopping, starting and forgetting it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from distqueue.broker import Broker
from distqueue.cli.options import AsJson, Url
from distqueue.cli.output import print_json, print_line, print_table, shown_time
from distqueue.cli.store import open_store
from distqueue.commands import Pause, Resume
from distqueue.ids import new_task_id
from distqueue.outcomes import expect
from distqueue.payload import decode
from distqueue.results import PauseSet, Stored
from distqueue.schedules.carrying_out import paused_among
from distqueue.schedules.chains import Chain, find_chains, no_schedule, remove
from distqueue.schedules.schedule import pause_queue


class Action(StrEnum):
    """What is to be done."""

    LIST = "list"
    PAUSE = "pause"
    RESUME = "resume"
    RUN = "run"
    REMOVE = "remove"


def schedules(
    action: Annotated[
        Action, typer.Argument(metavar="ACTION", help="list, pause, resume, run or remove.")
    ] = Action.LIST,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="The schedules. [list: default all]", show_default=False),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List schedules, pause and resume them, run them now, or remove them.

    What falls into a pause is not made up for. To run one now puts its task as if it ticked. One that was
    removed comes back when a worker starts whose app has it.
    """
    if action is not Action.LIST and not names:
        raise typer.BadParameter(f"which schedule is to be {_DONE[action]}?", param_hint="NAME")
    with open_store(url) as store:
        if action is Action.LIST:
            _list(store.broker, names, as_json)
            return
        for name in names or ():
            _ACTIONS[action](store.broker, name)


def _list(broker: Broker, names: list[str] | None, as_json: bool) -> None:
    chains = find_chains(broker, names or None)
    for name in set(names or ()) - {chain.name for chain in chains}:
        raise no_schedule(name)
    paused = paused_among(broker, {chain.name for chain in chains})
    if as_json:
        for chain in chains:
            print_json(_fields(chain, chain.name in paused))
        return
    print_table(
        ("name", "spec", "timezone", "next tick", "last tick", "paused", "task", "queue"),
        [_row(chain, chain.name in paused) for chain in chains],
    )


def _row(chain: Chain, is_paused: bool) -> list[object]:
    one = chain.link.schedule
    times = [shown_time(chain.link.at), shown_time(chain.last_tick)]
    return [one.name, one.spec, one.timezone if one.cron else "", *times, is_paused, one.task, one.queue]


def _fields(chain: Chain, is_paused: bool) -> dict[str, Any]:
    one = chain.link.schedule
    return {
        "name": one.name,
        "app": one.app,
        "cron": one.cron,
        "every": one.every,
        "timezone": one.timezone,
        "missed": one.missed,
        "grace": one.grace,
        "next_tick": chain.link.at,
        "last_tick": chain.last_tick,
        "paused": is_paused,
        "task": one.task,
        "queue": one.queue,
        "data": decode(bytes(one.data)),
    }


def _find(broker: Broker, name: str) -> Chain:
    chains = find_chains(broker, [name])
    if not chains:
        raise no_schedule(name)
    return chains[-1]


def _pause(broker: Broker, name: str) -> None:
    _find(broker, name)
    expect(broker.apply([Pause(queue=pause_queue(name))])[0], PauseSet)
    print_line(f"schedule {name} is paused")


def _resume(broker: Broker, name: str) -> None:
    _find(broker, name)
    expect(broker.apply([Resume(queue=pause_queue(name))])[0], PauseSet)
    print_line(f"schedule {name} is resumed")


def _run_now(broker: Broker, name: str) -> None:
    put = _find(broker, name).link.schedule.put(new_task_id())
    stored = expect(broker.apply([put])[0], Stored)
    print_line(f"schedule {name}: task {stored.task_id} is in queue {put.queue}")


def _remove(broker: Broker, name: str) -> None:
    remove(broker, name)
    print_line(f"schedule {name} is removed")


_ACTIONS: Final[dict[Action, Callable[[Broker, str], None]]] = {
    Action.PAUSE: _pause,
    Action.RESUME: _resume,
    Action.RUN: _run_now,
    Action.REMOVE: _remove,
}
_DONE: Final = {
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.RUN: "run",
    Action.REMOVE: "removed",
}
