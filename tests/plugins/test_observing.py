"""Observers are told of everything that was done, and can break nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from distqueue.broker import Broker
from distqueue.commands import Ack, Claim, Command, Find, Put, Reject, Release, Retry
from distqueue.errors import ConfigError, PluginError
from distqueue.groupcommit import GroupCommit
from distqueue.ids import new_token
from distqueue.observing import Observed
from distqueue.opening import open_broker
from distqueue.plugins import (
    BrokerStartedEvent,
    BrokerStoppedEvent,
    ClaimedEvent,
    CommittedEvent,
    Plugins,
    PutEvent,
    SettledEvent,
    TaskDeadEvent,
    TaskFailedEvent,
    hookimpl,
)
from distqueue.plugins.events import Event
from distqueue.plugins.hookspecs import OBSERVING_HOOKS
from distqueue.results import Claimed, Lease
from distqueue.task import TaskState
from distqueue_backends import plugin as built_in

if TYPE_CHECKING:
    from .conftest import Site


class Recorder:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @hookimpl
    def distqueue_put(self, event: PutEvent) -> None:
        self.events.append(event)

    @hookimpl
    def distqueue_claimed(self, event: ClaimedEvent) -> None:
        self.events.append(event)

    @hookimpl
    def distqueue_settled(self, event: SettledEvent) -> None:
        self.events.append(event)

    @hookimpl
    def distqueue_committed(self, event: CommittedEvent) -> None:
        self.events.append(event)

    @hookimpl
    def distqueue_task_failed(self, event: TaskFailedEvent) -> None:
        self.events.append(event)

    @hookimpl
    def distqueue_task_dead(self, event: TaskDeadEvent) -> None:
        self.events.append(event)

    @hookimpl
    def distqueue_broker_started(self, event: BrokerStartedEvent) -> None:
        self.events.append(event)

    @hookimpl
    def distqueue_broker_stopped(self, event: BrokerStoppedEvent) -> None:
        self.events.append(event)

    def of[T: Event](self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


def put(task_id: str, queue: str = "default", max_attempts: int = 5) -> Put:
    return Put.make(queue, task_id, b"{}", max_attempts=max_attempts)


def claim(broker: Broker, count: int = 1, queue: str = "default") -> list[Lease]:
    (claimed,) = broker.apply([Claim(queue=queue, token=new_token(), count=count)])
    assert isinstance(claimed, Claimed)
    return claimed.leases


@pytest.fixture
def plugins(site: Site) -> Plugins:
    """Only the built-in backends and what the test registers."""
    made = site.plugins()
    made.register(built_in)
    return made


@pytest.fixture
def recorder(plugins: Plugins) -> Recorder:
    made = Recorder()
    plugins.register(made)
    return made


@pytest.fixture
def broker(plugins: Plugins, recorder: Recorder) -> Iterator[Broker]:
    """An observed store in memory."""
    made = open_broker("memory://", plugins=plugins)
    yield made
    made.close()


def test_without_observers_the_broker_is_not_even_wrapped(plugins: Plugins) -> None:
    broker = open_broker("memory://", plugins=plugins)
    assert type(broker) is GroupCommit
    broker.close()


def test_puts_are_reported_once_a_batch_and_queue(broker: Broker, recorder: Recorder) -> None:
    outcomes = broker.apply([put("a"), put("b", "other"), put("c"), put("a")])
    events = recorder.of(PutEvent)
    assert [event.queue for event in events] == ["default", "other"]
    assert [(one.task_id, one.duplicate) for one in events[0].stored] == [
        ("a", False),
        ("c", False),
        ("a", True),
    ]
    assert events[1].stored == (outcomes[1],)


def test_claims_are_reported_and_empty_ones_are_not(broker: Broker, recorder: Recorder) -> None:
    claim(broker)
    assert recorder.of(ClaimedEvent) == []
    assert recorder.of(CommittedEvent) == []
    broker.apply([put("a")])
    (lease,) = claim(broker)
    assert recorder.of(ClaimedEvent) == [ClaimedEvent(queue="default", leases=(lease,))]


def test_settling_is_reported_with_verb_and_state(broker: Broker, recorder: Recorder) -> None:
    broker.apply([put("a"), put("b")])
    first, second = claim(broker, 2)
    settling: list[Command] = [
        Ack(queue="default", receipt=first.receipt, then=(put("next", "other"),)),
        Release(queue="default", receipt=second.receipt),
    ]
    broker.apply(settling)
    (event,) = recorder.of(SettledEvent)
    assert [(one.task_id, one.verb, one.state) for one in event.settled] == [
        ("a", "ack", TaskState.DONE),
        ("b", "release", TaskState.READY),
    ]
    assert event.settled[0].receipt == first.receipt
    follow_up = recorder.of(PutEvent)[-1]
    assert (follow_up.queue, follow_up.stored[0].task_id) == ("other", "next")


def test_failures_and_deaths_are_reported_with_their_error(broker: Broker, recorder: Recorder) -> None:
    broker.apply([put("again"), put("last", max_attempts=1), put("never")])
    again, last, never = claim(broker, 3)
    broker.apply(
        [
            Retry(queue="default", receipt=again.receipt, delay=60.0, error="try later"),
            Retry(queue="default", receipt=last.receipt, error="out of luck"),
            Reject(queue="default", receipt=never.receipt, error="no such address"),
        ]
    )
    (failed,) = recorder.of(TaskFailedEvent)
    assert [(one.task_id, one.error, one.retry_at is None) for one in failed.failures] == [
        ("again", "try later", False),
        ("last", "out of luck", True),
    ]
    (dead,) = recorder.of(TaskDeadEvent)
    assert [(one.task_id, one.error) for one in dead.failures] == [
        ("last", "out of luck"),
        ("never", "no such address"),
    ]


def test_commits_count_changes_and_refusals_but_no_reads(broker: Broker, recorder: Recorder) -> None:
    broker.apply([put("a"), put("not an id"), Find(queue="default", task_id="a")])
    broker.apply([Find(queue="default", task_id="a")])
    (commit,) = recorder.of(CommittedEvent)
    assert (commit.changes, commit.refused) == (1, 1)
    assert commit.seconds > 0


def test_start_and_stop_are_reported_once_without_the_password(plugins: Plugins, recorder: Recorder) -> None:
    broker = open_broker("memory://user:hunter2@shared", plugins=plugins)
    broker.close()
    broker.close()
    assert [event.url for event in recorder.of(BrokerStartedEvent)] == ["memory://user:***@shared"]
    assert [event.url for event in recorder.of(BrokerStoppedEvent)] == ["memory://user:***@shared"]


def test_an_observer_that_raises_is_logged_and_the_others_still_hear(
    plugins: Plugins, recorder: Recorder, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy:
        @hookimpl(tryfirst=True)
        def distqueue_put(self) -> None:
            raise RuntimeError("observers may fail")

    plugins.register(Clumsy())
    (outcome,) = broker.apply([put("a")])
    assert recorder.of(PutEvent)[0].stored == (outcome,)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith("distqueue_put of the observer this program:Clumsy:")
    assert "observers may fail" in caplog.text


def test_an_observer_may_use_the_store_that_it_observes(plugins: Plugins) -> None:
    class Follower:
        broker: Broker

        @hookimpl
        def distqueue_put(self, event: PutEvent) -> None:
            if event.queue == "default":
                self.broker.apply([put("follows", "other")])

    follower = Follower()
    plugins.register(follower)
    follower.broker = broker = open_broker("memory://", plugins=plugins)
    broker.apply([put("a")])
    (lease,) = claim(broker, queue="other")
    assert lease.task_id == "follows"
    broker.close()


def test_the_recorder_implements_every_observing_hook() -> None:
    assert {name for name in vars(Recorder) if name.startswith("distqueue_")} == set(OBSERVING_HOOKS)


OBSERVER = """
from distqueue.plugins import hookimpl
seen = []
@hookimpl
def distqueue_put(event):
    seen.append(event)
"""


def test_only_the_observers_that_are_named_are_imported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("acme-metrics", group="distqueue.observers", metrics="metrics_observer")
    site.write("metrics_observer", OBSERVER)
    site.add("acme-noise", group="distqueue.observers", noise="noise_observer")
    site.write("noise_observer", OBSERVER)
    site.add("distqueue", memory="distqueue_backends.plugin")
    monkeypatch.setenv("DISTQUEUE_OBSERVERS", " metrics ")
    for _ in range(2):
        broker = open_broker("memory://", plugins=site.plugins())
        assert type(broker) is Observed
        broker.close()
    assert site.imported() == {"metrics_observer"}


def test_observers_named_by_the_caller_replace_those_of_the_environment(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("distqueue", memory="distqueue_backends.plugin")
    monkeypatch.setenv("DISTQUEUE_OBSERVERS", "no-such-observer")
    broker = open_broker("memory://", plugins=site.plugins(), observers=())
    assert type(broker) is GroupCommit
    broker.close()


def test_an_unknown_observer_is_told_the_nearest_one(site: Site) -> None:
    site.add("acme-metrics", group="distqueue.observers", metrics="metrics_observer")
    with pytest.raises(ConfigError) as caught:
        site.plugins().load_observers(["metric"])
    assert str(caught.value) == (
        "no observer 'metric' is installed; did you mean 'metrics'? there are: metrics"
    )


def test_a_broken_observer_that_was_named_is_an_error(site: Site) -> None:
    site.add("acme-metrics", "3.0", group="distqueue.observers", metrics="metrics_observer")
    site.write("metrics_observer", "import no_such_module")
    plugins = site.plugins()
    with pytest.raises(PluginError) as caught:
        plugins.load_observers(["metrics"])
    assert str(caught.value) == (
        "the plugin 'metrics' of acme-metrics 3.0 cannot be used: it cannot be imported "
        "(ModuleNotFoundError: No module named 'no_such_module'); "
        "repair or upgrade acme-metrics, or uninstall it"
    )
    assert not plugins.is_observed


def test_two_observers_of_one_name_are_an_error(site: Site) -> None:
    site.add("a-metrics", group="distqueue.observers", metrics="metrics_observer")
    site.add("b-metrics", group="distqueue.observers", metrics="metrics_observer")
    with pytest.raises(PluginError, match=r"the name 'metrics' is taken by .-metrics 1.0 and .-metrics 1.0"):
        site.plugins().load_observers(["metrics"])
