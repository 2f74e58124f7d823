"""What becomes of schedules that change, are late, are paused or removed; on a clock of the test's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from distqueue import ConfigError, TaskNotFound
from distqueue.commands import Claim, Pause, Put, Resume
from distqueue.ids import new_token
from distqueue.outcomes import expect, leases_in
from distqueue.payload import Payload
from distqueue.results import Stored
from distqueue.schedules.carrying_out import LEASE, MOST_TICKS
from distqueue.schedules.chains import check, find_chains, remove
from distqueue.schedules.schedule import QUEUE, Missed, pause_queue
from distqueue.task import TaskOptions, TaskState
from tests.app.schedules import APP, NOON, TASKS, Virtual, schedule, shown, url_of, virtual

MINUTE = 60.0


@pytest.fixture(
    params=[
        "memory://",
        "sharded-json:///{tmp}/queue.d?shards=3",
        pytest.param("postgresql", marks=pytest.mark.slow),
    ],
    ids=["memory", "sharded", "postgresql"],
)
def store(request: pytest.FixtureRequest, shm: Path) -> Iterator[Virtual]:
    """A store at noon."""
    with virtual(url_of(request, request.param), shm) as made:
        yield made


def beats(*minutes: float, name: str = "beat") -> list[str]:
    """Return the ids of the ticks so many minutes after noon."""
    return [f"{name}@{shown(NOON + minute * MINUTE)}" for minute in minutes]


def test_any_number_of_workers_and_restarts_have_one_chain(store: Virtual) -> None:
    for _ in range(3):
        store.start(schedule())
    for minute in range(1, 4):
        store.go_to(NOON + minute * MINUTE)
        store.work()
        store.work()
        store.start(schedule())
        assert store.take() == beats(minute)
    assert len(store.links()) == 1


def test_a_worker_that_starts_while_a_tick_is_late_begins_no_second_chain(store: Virtual) -> None:
    store.start(schedule())
    store.go_to(NOON + 10 * MINUTE)
    store.start(schedule())
    assert len(store.links()) == 1
    store.work()
    assert store.take() == beats(10)


@pytest.mark.parametrize(
    ("missed", "grace", "expected"),
    [
        (Missed.ONE, 60, beats(10)),
        (Missed.ALL, 60, beats(*range(1, 11))),
        (Missed.SKIP, 60, beats(10)),
        (Missed.SKIP, 29, []),
    ],
)
def test_what_was_missed_is_made_up_for_by_the_policy(
    store: Virtual, missed: Missed, grace: float, expected: list[str]
) -> None:
    store.start(schedule(missed=missed, grace=float(grace)))
    store.go_to(NOON + 10.5 * MINUTE)
    store.work()
    assert sorted(store.take()) == sorted(expected)
    store.go_to(NOON + 11 * MINUTE)
    store.work()
    assert store.take() == beats(11)


def test_a_long_outage_is_made_up_for_bit_by_bit(store: Virtual) -> None:
    store.start(schedule(missed=Missed.ALL))
    store.go_to(NOON + 2.5 * MOST_TICKS * MINUTE)
    store.work()
    assert sorted(store.take()) == sorted(beats(*range(1, 2 * MOST_TICKS + MOST_TICKS // 2 + 1)))
    assert len(store.links()) == 1


def test_another_definition_takes_over_and_the_old_one_ticks_no_more(store: Virtual) -> None:
    old, new = schedule(cron="0 * * * *"), schedule(cron="30 * * * *")
    store.start(old)
    store.start(new)
    assert len(store.links()) == 1
    for _ in range(4):
        store.go_on(30 * MINUTE)
        store.work()
    assert store.take() == beats(30, 90)


def test_to_go_back_to_the_old_definition_at_once_works_too(store: Virtual) -> None:
    old, new = schedule(cron="0 * * * *"), schedule(cron="30 * * * *")
    for definition in (old, new, old, new, old):
        store.start(definition)
        assert [chain.link.definition.key for chain in find_chains(store.broker)] == [definition.key]
    store.go_to(NOON + 60 * MINUTE)
    store.work()
    assert store.take() == beats(60)


def test_a_tick_at_which_the_definition_changes_is_given_once(store: Virtual) -> None:
    store.start(schedule())
    store.go_to(NOON + MINUTE)
    store.work()
    store.set_clock(-1.0)
    store.start(schedule(data=msgspec.Raw(b'{"task":"beat","args":{"other":1}}')))
    store.set_clock(1.0)
    store.work()
    assert store.take() == beats(1)
    store.go_to(NOON + 2 * MINUTE)
    store.work()
    assert store.take() == beats(2)


def test_a_schedule_that_an_app_has_no_more_ends_and_those_of_others_go_on(store: Virtual) -> None:
    store.start(schedule("mine"), schedule("mine-too"))
    store.start(schedule("theirs", app="other:app"), app="other:app")
    store.start(schedule("mine"))
    assert [chain.name for chain in find_chains(store.broker)] == ["mine", "theirs"]
    store.start()
    assert [chain.name for chain in find_chains(store.broker)] == ["theirs"]


def test_what_is_removed_ends_and_a_worker_that_starts_brings_it_back(store: Virtual) -> None:
    store.start(schedule())
    store.broker.apply([Pause(queue=pause_queue("beat"))])
    remove(store.broker, "beat")
    with pytest.raises(TaskNotFound, match="no schedule 'beat'"):
        remove(store.broker, "beat")
    store.go_to(NOON + MINUTE)
    store.work()
    assert store.take() == []
    store.set_clock(-1.0)  # the very tick that was cancelled is the next one again
    store.start(schedule())
    store.set_clock(1.0)
    store.work()
    assert store.take() == beats(1)


def test_a_paused_schedule_goes_on_without_ticks_and_makes_up_for_none(store: Virtual) -> None:
    store.start(schedule(missed=Missed.ALL))
    store.broker.apply([Pause(queue=pause_queue("beat"))])
    for _ in range(2):
        store.go_on(2 * MINUTE)
        store.work()
    assert store.take() == []
    store.broker.apply([Resume(queue=pause_queue("beat"))])
    store.work()
    assert store.take() == []
    store.go_to(NOON + 5 * MINUTE)
    store.work()
    assert store.take() == beats(5)


def test_a_worker_that_is_late_by_more_than_its_lease_changes_nothing(store: Virtual) -> None:
    store.start(schedule())
    store.go_to(NOON + MINUTE)
    claim = Claim(queue=QUEUE, token=new_token(), lease=LEASE)
    assert len(leases_in(store.broker.apply([claim]))) == 1
    store.work()
    assert store.take() == []
    store.go_on(LEASE + 1)
    store.work()
    assert store.take() == beats(1)


def test_a_clock_that_is_put_back_repeats_nothing(store: Virtual) -> None:
    store.start(schedule(missed=Missed.ALL))
    store.go_to(NOON + 10 * MINUTE)
    store.work()
    assert len(store.take()) == 10
    store.set_clock(-5 * MINUTE)
    store.start(schedule(missed=Missed.ALL))
    for _ in range(5):
        store.work()
        store.go_on(MINUTE)
    assert store.take() == []
    store.go_to(NOON + 11 * MINUTE)
    store.work()
    assert store.take() == beats(11)


def test_a_clock_that_is_put_forward_makes_ticks_late(store: Virtual) -> None:
    store.start(schedule())
    store.set_clock(3600.0)
    store.work()
    assert store.take() == beats(60)


def test_a_time_of_day_that_is_left_out_or_comes_twice_is_put_once(store: Virtual) -> None:
    nightly = schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    for day, at in (("2026-03-29", "01:00"), ("2026-10-25", "00:30")):
        store.set_clock(_utc(f"{day}T00:00:00") - store.now())
        store.start(nightly)
        if day.startswith("2026-10"):
            store.work()  # what the summer left
            store.take()
        for _ in range(24 * 4):
            store.go_on(15 * MINUTE)
            store.work()
        assert store.take() == [f"beat@{day}T{at}:00Z"]


def test_last_tick_is_remembered(store: Virtual) -> None:
    store.start(schedule())
    assert [chain.last_tick for chain in find_chains(store.broker)] == [None]
    store.go_to(NOON + MINUTE)
    store.work()
    assert [chain.last_tick for chain in find_chains(store.broker)] == [NOON + MINUTE]


def test_a_tick_is_left_out_while_its_unique_key_is_taken(
    tmp_path: Path,
) -> None:
    with virtual("memory://", tmp_path) as store:
        store.start(schedule(missed=Missed.ALL, options=TaskOptions(unique="beat")))
        store.go_to(NOON + 3 * MINUTE)
        store.work()
        assert store.take() == beats(1)
        store.go_to(NOON + 4 * MINUTE)
        store.work()
        assert store.take() == beats(4)


def test_a_schedule_that_the_store_cannot_keep_is_refused_at_the_start(store: Virtual) -> None:
    unique = schedule(options=TaskOptions(unique="beat"))
    if store.broker.capabilities.unique:
        check([unique], store.broker)
    else:
        with pytest.raises(ConfigError, match=r"cannot keep the schedule 'beat'.*'unique'"):
            check([unique], store.broker)


def test_what_is_no_schedule_becomes_dead_and_holds_nothing_up(store: Virtual) -> None:
    store.start(schedule())
    store.broker.apply([Put.make(QUEUE, "stray", b'{"to": "somebody"}')])
    store.go_to(NOON + MINUTE)
    store.work()
    assert store.take() == beats(1)
    assert len(store.links()) == 1
    assert store.find(QUEUE, "stray") is TaskState.DEAD


def test_a_queue_that_has_moved_puts_the_tick_off(tmp_path: Path) -> None:
    with virtual("memory://", tmp_path) as store:
        store.start(schedule())
        store.fence(TASKS)
        store.go_to(NOON + MINUTE)
        store.work()
        assert [chain.link.at for chain in find_chains(store.broker)] == [NOON + MINUTE]


def test_the_data_of_a_link_is_kept_whatever_a_newer_release_put_there(store: Virtual) -> None:
    newer = schedule()
    newer = type(newer)(newer.raw.replace(b'{"name"', b'{"colour":"blue","name"', 1))
    store.start(newer)
    for minute in (1, 2):
        store.go_to(NOON + minute * MINUTE)
        store.work()
    (chain,) = find_chains(store.broker)
    assert chain.link.definition.raw == newer.raw
    assert chain.link.schedule.app == APP


def _utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "link",
    [
        {"at": 1e300},
        {"at": -1e11},
        {"name": "No Name/"},
        {"name": "n" * 100},
    ],
)
def test_a_link_that_is_none_does_not_hold_up_the_others(store: Virtual, link: dict[str, object]) -> None:
    store.start(schedule())
    made = {"name": "strange", "task": "x", "queue": TASKS, "data": None, "every": 1.0} | link
    data = msgspec.json.encode({"schedule": made, "at": made.pop("at", 0.0)})
    put = Put(queue=QUEUE, task_id="strange", data=Payload(data), options=TaskOptions())
    expect(store.broker.apply([put])[0], Stored)
    store.go_to(NOON + MINUTE)
    store.work()
    assert store.take() == beats(1)
    assert [chain.name for chain in find_chains(store.broker)] == ["beat"]
