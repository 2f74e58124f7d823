"""The child processes of the suite: they answer, they can be stopped and killed, and none is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distqueue.commands import Claim, Find, Put, Stats
from distqueue.conformance.processes import Child, OtherProcess
from distqueue.errors import InvalidTask, OutcomeUnknown, TooLarge, UnknownBackend
from distqueue.opening import open_broker
from distqueue.results import Claimed, Counted, Found, Stored


def other(url: str = "memory://") -> OtherProcess:
    return OtherProcess(url, open_broker("memory://").capabilities)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_another_process_carries_out_commands() -> None:
    put = Put.make("q", "it", b'{"a":1}', headers={"h": "v"})
    with other() as broker:
        stored, refused, claimed, found, counted = broker.apply(
            [
                put,
                Put(queue="q", task_id="no good", data=b"1"),
                Claim(queue="q", token="t"),  # noqa: S106
                Find(queue="q", task_id="it"),
                Stats(queue="q"),
            ]
        )
    assert stored == Stored(task_id="it")
    assert isinstance(refused, InvalidTask)
    assert "is not a task id" in str(refused)
    assert isinstance(claimed, Claimed)
    assert claimed.leases[0].data == b'{"a":1}'
    assert isinstance(found, Found)
    assert found.task is not None
    assert bytes(found.task.data) == b'{"a":1}'
    assert isinstance(counted, Counted)


def test_what_a_backend_prints_is_no_answer() -> None:
    capabilities = open_broker("memory://").capabilities
    noisy = "tests.conformance_suite.noisy:make_noise"
    with OtherProcess("memory://", capabilities, prepare=noisy) as broker:
        for number in range(2):
            assert broker.apply([Put.make("q", f"t{number}", b"1")]) == [Stored(task_id=f"t{number}")]
        assert "carrying out 1 commands\nno line" in broker.child.complaints()


def test_what_apply_raises_in_another_process_is_raised_here() -> None:
    with other() as broker, pytest.raises(TooLarge, match="commands in one call"):
        broker.apply([Stats(queue="q")] * 10_001)


def test_what_opening_raises_in_another_process_is_raised_here() -> None:
    with pytest.raises(UnknownBackend):
        other("nosuch://")


def test_the_outcome_is_unknown_when_the_process_is_killed() -> None:
    with other() as broker:
        broker.child.kill()
        with pytest.raises((OutcomeUnknown, BrokenPipeError)):
            broker.apply([Stats(queue="q")])


def test_no_process_is_left() -> None:
    with other() as broker:
        pid = broker.child.pid
        assert is_running(pid)
    assert not is_running(pid)
    broker = other()
    broker.close()
    assert not is_running(broker.child.pid)


def test_a_stopped_process_is_killed_at_the_end() -> None:
    with other() as broker:
        broker.child.stop()
    assert not is_running(broker.child.pid)


def test_a_process_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with other() as broker:
        broker.child.stop()
        with pytest.raises(TimeoutError, match="said nothing"):
            broker.child.hear(patience=0.05)


def test_the_complaints_of_a_child_are_kept() -> None:
    with Child("distqueue.conformance.publisher", "no plan") as child:
        assert child.join() != 0
        assert "DecodeError" in child.complaints()
