"""When schedules tick: across changes of the clocks, and the same for whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from distqueue import ConfigError
from distqueue.schedules.ticks import Cron, Interval, Ticks


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def first(ticks: Ticks, since: str, count: int) -> list[str]:
    """Return the first ticks after a time, in UTC."""
    times: list[float] = list(islice(ticks.between(utc(since), utc("2100-01-01")), count))
    return [datetime.fromtimestamp(at, UTC).strftime("%m-%dT%H:%M") for at in times]


def test_a_time_that_the_change_of_the_clocks_leaves_out_ticks_once_right_after_it() -> None:
    ticks = first(Cron("30 2 * * *", "Europe/Berlin"), "2026-03-27T12:00", 4)
    assert ticks == ["03-28T01:30", "03-29T01:00", "03-30T00:30", "03-31T00:30"]


def test_a_time_that_comes_twice_ticks_the_first_time_only() -> None:
    ticks = first(Cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00", 3)
    assert ticks == ["10-25T00:30", "10-26T01:30", "10-27T01:30"]


def test_what_ticks_every_hour_goes_on_hour_by_hour() -> None:
    hourly = Cron("30 * * * *", "Europe/Berlin")
    assert first(hourly, "2026-10-24T23:45", 3) == ["10-25T00:30", "10-25T01:30", "10-25T02:30"]
    assert first(hourly, "2026-03-29T00:00", 3) == ["03-29T00:30", "03-29T01:30", "03-29T02:30"]


def test_minutes_of_an_hour_that_is_left_out_do_not_tick_and_of_one_that_comes_twice_do_twice() -> None:
    often = Cron("*/30 2 * * *", "Europe/Berlin")
    assert first(often, "2026-03-28T02:00", 1) == ["03-30T00:00"]
    assert first(often, "2026-10-24T12:00", 5) == [
        "10-25T00:00",
        "10-25T00:30",
        "10-25T01:00",
        "10-25T01:30",
        "10-26T01:00",
    ]


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("Australia/Lord_Howe", "2026-04-04"),  # by half an hour
        ("Australia/Lord_Howe", "2026-10-03"),
        ("America/Havana", "2026-03-08"),  # at midnight
        ("America/Havana", "2026-11-01"),
        ("UTC", "2026-03-29"),
    ],
)
@pytest.mark.parametrize(
    "expression",
    [
        "30 2 * * *",
        "0,30 0-3 * * *",
        "*/7 * * * *",
        "15 * * * *",
        "*/20 1,2 * * *",
        "0 0 * * *",
        "0 3 L * SUN",
    ],
)
def test_whoever_asks_from_whenever_finds_the_same_ticks(expression: str, zone: str, day: str) -> None:
    cron = Cron(expression, zone)
    begin, end = utc(f"{day}T00:00") - 86400, utc(f"{day}T00:00") + 2 * 86400
    every = list(cron.between(begin, end))
    for when in range(int(begin), int(end) - 86400, 600 - 7):
        later = [at for at in every if at > when]
        assert cron.after(when) == (later[0] if later else cron.after(end))
        assert cron.latest(begin, when) == max((at for at in every if at <= when), default=None)


def test_an_interval_counts_from_the_epoch() -> None:
    ticks = Interval(0.2)
    assert list(islice(ticks.between(1_800_000_000.05, 1_800_000_001), 3)) == [
        1_800_000_000.2,
        1_800_000_000.4,
        1_800_000_000.6,
    ]
    assert ticks.after(1_800_000_000.2) == 1_800_000_000.4
    assert ticks.latest(0.0, 1_800_000_000.39) == 1_800_000_000.2
    assert ticks.latest(1_800_000_000.2, 1_800_000_000.39) is None
    assert first(Interval(86400), "2026-01-01T10:00", 2) == ["01-02T00:00", "01-03T00:00"]


@pytest.mark.parametrize("expression", ["", "* * * *", "0 * * * * *", "61 * * * *", "@daily", "* * * MAI *"])
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match="is not a cron expression"):
        Cron(expression)


@pytest.mark.parametrize("zone", ["Europe/Bonn", "", "../etc/passwd", "Europe"])
def test_a_time_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match="there is no time zone"):
        Cron("* * * * *", zone)


def test_an_interval_that_no_worker_can_keep_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"use at least 0\.1 s"):
        Interval(0.01)
    with pytest.raises(ConfigError, match="use less than 100 years"):
        Interval(float("inf"))
