"""The chains in a store: which there are, how they begin and end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from logging import getLogger
from typing import Final, NamedTuple

from distqueue.broker import Broker
from distqueue.commands import Browse, Cancel, Command, Resume
from distqueue.errors import ConfigError, InvalidTask, Refused, StoreFailed, TaskNotFound
from distqueue.limits import check_put
from distqueue.outcomes import expect
from distqueue.results import Browsed, PauseSet, Removed
from distqueue.schedules.schedule import LAST_TICK, QUEUE, Definition, Link, pause_queue
from distqueue.task import TaskRecord, TaskState

_log: Final = getLogger("distqueue.schedules")
_PAGE: Final = 1000
_LIVE: Final = (TaskState.SCHEDULED, TaskState.READY, TaskState.LEASED)
_ROUNDS: Final = 20
"""How often it is looked again while others change the chains, too."""


class Chain(NamedTuple):
    """A chain in the store: the task of its link, and what is in it."""

    record: TaskRecord
    link: Link

    @property
    def name(self) -> str:
        """The schedule's name."""
        return self.link.schedule.name

    @property
    def last_tick(self) -> float | None:
        """When it last ticked, in seconds since the epoch; ``None`` if it has not, so far as is known."""
        last = (self.record.headers or {}).get(LAST_TICK)
        return None if last is None else float(last)


def find_chains(broker: Broker, names: Iterable[str] | None = None) -> list[Chain]:
    """Return the chains of a store, or those of some schedules, by name."""
    wanted = None if names is None else set(names)
    found = [chain for chain in _chains(broker) if wanted is None or chain.name in wanted]
    return sorted(found, key=lambda chain: (chain.name, chain.link.at))


def check(definitions: Iterable[Definition], broker: Broker) -> None:
    """Refuse schedules that a store cannot keep.

    Raises:
        ConfigError: it lacks what a schedule, or the task of one, needs.
    """
    has = broker.capabilities
    for definition in definitions:
        if not (has.delay and has.browse):
            raise ConfigError(
                "schedules need a store that can delay and browse tasks; "
                "`distqueue backends --json` shows which do"
            )
        schedule = definition.schedule
        try:
            check_put(schedule.tick(0.0), has)
            check_put(Link(definition, 0.0).put(), has)
        except Refused as error:
            raise ConfigError(f"this store cannot keep the schedule {schedule.name!r}: {error}") from None


def establish(broker: Broker, app: str, definitions: Sequence[Definition], now: float) -> None:
    """Let the chains of an app be those of its schedules.

    A chain begins at the next tick, unless it is there; a chain of another definition with one of the names
    ends, and so does one that the app had and has no more.

    Raises:
        Refused: a link was refused.
        StoreFailed: others change the same chains all the time.
    """
    for attempt in range(_ROUNDS):
        chains = find_chains(broker)
        commands = [
            *_beginnings(chains, definitions, now, attempt),
            *_endings(chains, app, definitions),
        ]
        if not commands:
            return
        for command, outcome in zip(commands, broker.apply(commands)):
            if isinstance(outcome, Refused) and not isinstance(command, Cancel):
                raise outcome
    raise StoreFailed(f"the schedules of {app} are changed by others all the time; start one worker first")


def remove(broker: Broker, name: str) -> None:
    """End the chains of a schedule, which is not paused any more either.

    Raises:
        TaskNotFound: there is none.
    """
    chains = find_chains(broker, [name])
    if not chains:
        raise no_schedule(name)
    while chains:  # a worker may have put the next link meanwhile
        for outcome in broker.apply([_cancel(chain) for chain in chains]):
            if not isinstance(outcome, TaskNotFound):
                expect(outcome, Removed)
        chains = find_chains(broker, [name])
    if broker.capabilities.pause:
        expect(broker.apply([Resume(queue=pause_queue(name))])[0], PauseSet)


def no_schedule(name: str) -> TaskNotFound:
    """Return the error for a name that no schedule has."""
    return TaskNotFound(f"there is no schedule {name!r}; `distqueue schedules` lists them")


def _chains(broker: Broker) -> Iterator[Chain]:
    after: int | None = None
    while True:
        page = Browse(queue=QUEUE, states=_LIVE, limit=_PAGE, after=after)
        browsed = expect(broker.apply([page])[0], Browsed)
        for record in browsed.tasks:
            try:
                yield Chain(record, Link.read(record.data))
            except InvalidTask as error:
                _log.warning("task %s in queue %s: %s", record.task_id, QUEUE, error)
        if (after := browsed.next) is None:
            return


def _beginnings(
    chains: Sequence[Chain], definitions: Sequence[Definition], now: float, attempt: int
) -> Iterator[Command]:
    """Give the first links of the chains that are not there.

    If the store knows the id of one, and it is not there in the next round either, its chain was removed
    before: another attempt has another id.
    """
    there = {chain.link.definition.key for chain in chains}
    for definition in definitions:
        if definition.key in there:
            continue
        if (first := definition.schedule.ticks().after(now)) is not None:
            _log.info("schedule %s begins: %s", definition.schedule.name, definition.schedule.spec)
            yield Link(definition, first).put(attempt=attempt)


def _endings(chains: Sequence[Chain], app: str, definitions: Sequence[Definition]) -> Iterator[Command]:
    keys = {definition.key for definition in definitions}
    names = {definition.schedule.name for definition in definitions}
    for chain in chains:
        owner = chain.link.schedule.app
        if chain.link.definition.key in keys or (chain.name not in names and owner != app):
            continue
        if owner != app:
            _log.warning("schedule %s was one of %s; it is one of %s now", chain.name, owner, app)
        elif chain.name not in names:
            _log.info("schedule %s ends, as %s has it no more", chain.name, app)
        yield _cancel(chain)


def _cancel(chain: Chain) -> Cancel:
    return Cancel(queue=QUEUE, task_id=chain.record.task_id)
