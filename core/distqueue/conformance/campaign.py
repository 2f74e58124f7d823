"""A campaign of kills: publishers and consumers under load, SIGKILLed at random moments, and judged.

    python -m distqueue.conformance.campaign json:////tmp/Queue.json --kills 200 --publishers 4 --consumers 2

Each killed process is started again. After the last kill the publishers end, the consumers drain the
queue, and the checker reads what all of them recorded. One JSON report is printed; the exit code is
0 if it is VALID, else 1. ``--after-kill MODULE:FUNCTION`` names a function that is called with the URL
after each kill; what it raises is a problem too. ``--engine COMMAND`` is what kills the engine under the
store, such as a database server, and starts it again: a shell's command, which ends once the engine serves.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities, Ordering
from distqueue.commands import Browse, Stats
from distqueue.conformance.checker import Problem, Result, check
from distqueue.conformance.crew import Crew, CrewFailed, Plan, crew_at_work, wait_until
from distqueue.conformance.history import Drained, now, read_history
from distqueue.errors import Unsupported
from distqueue.opening import open_broker
from distqueue.results import Browsed, Counted, QueueStats
from distqueue.task import TaskState
from distqueue.urls import parse_url


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign showed. ``counts`` are those of the checker, ``kills`` are by role.

    ``failures`` are what the hook raised, and what ended the campaign before its time.
    """

    verdict: Result
    reason: str
    url: str
    seed: int
    seconds: float
    kills: dict[str, int]
    counts: dict[str, int]
    problems: list[Problem]
    failures: list[str]

    @property
    def valid(self) -> bool:
        """Whether every promise was kept."""
        return self.verdict is Result.VALID and not self.failures


def run(
    plan: Plan,
    after_kill: Callable[[str], None] | None = None,
    restart_engine: Callable[[], None] | None = None,
) -> Report:
    """Carry out a campaign and judge it.

    ``restart_engine`` kills the engine under the store and starts it again; without it, it is let be.
    A process that ends by itself, or a queue that is not drained in time, ends the campaign; the
    report says so among its ``failures``.

    Raises:
        Unsupported: the backend is not shared between processes, so there is nothing to kill.
    """
    began = now()
    capabilities = _create(plan.url)
    failures: list[str] = []
    with crew_at_work(plan, restart_engine) as crew:
        try:
            for _ in range(plan.kills):
                crew.kill_one()
                failures += _call(after_kill, plan.url)
                crew.replace_the_dead()
            crew.finish("publisher")
            _drain(crew)
            crew.finish("consumer")
        except (CrewFailed, TimeoutError) as error:
            failures.append(str(error))
    history = read_history(Path(plan.directory).glob("*.jsonl"))
    is_ordered = capabilities.ordering is Ordering.QUEUE
    verdict = check(history, ordered=is_ordered, faults_expected=plan.kills > 0)
    return Report(
        verdict=verdict.result,
        reason=verdict.reason,
        url=str(parse_url(plan.url)),
        seed=plan.seed,
        seconds=round(now() - began, 1),
        kills=dict(crew.killed),
        counts=verdict.counts,
        problems=verdict.problems,
        failures=failures,
    )


def _create(url: str) -> Capabilities:
    """Make sure that there is a store which processes can share."""
    broker = open_broker(url)
    capabilities = broker.capabilities
    broker.close()
    if not capabilities.shared_between_processes:
        raise Unsupported(f"{parse_url(url)} is not shared between processes; choose another backend")
    return capabilities


def _call(hook: Callable[[str], None] | None, url: str) -> list[str]:
    if hook is None:
        return []
    try:
        hook(url)
    except Exception as error:  # noqa: BLE001 - whatever the hook raises belongs into the report
        return [f"{type(error).__name__}: {error}"]
    return []


def _drain(crew: Crew) -> None:
    """Wait until the consumers have emptied the queue, and record it."""
    broker, queue = open_broker(crew.plan.url), crew.plan.queue
    try:
        wait_until(lambda: _drained(broker, crew), "the consumers to drain the queue")
        dead = _dead(broker, queue)
        crew.faults.record([Drained(at=now(), process="campaign", left=_left(broker, queue), dead=dead)])
    finally:
        broker.close()


def _drained(broker: Broker, crew: Crew) -> bool:
    crew.check_alive("consumer")
    return _left(broker, crew.plan.queue) == 0


def _left(broker: Broker, queue: str) -> int:
    counts = _stats(broker, queue)
    return counts.ready + counts.scheduled + counts.leased


def _stats(broker: Broker, queue: str) -> QueueStats:
    outcome = broker.apply([Stats(queue=queue)])[0]
    assert isinstance(outcome, Counted), outcome
    return outcome.queues[0] if outcome.queues else QueueStats(queue=queue)


def _dead(broker: Broker, queue: str) -> tuple[str, ...]:
    if not _stats(broker, queue).dead:
        return ()
    outcome = broker.apply([Browse(queue=queue, states=(TaskState.DEAD,), limit=1000)])[0]
    assert isinstance(outcome, Browsed), outcome
    return tuple(task.task_id for task in outcome.tasks)


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign from the command line and return the exit code."""
    options = parser().parse_args(arguments)
    with ExitStack() as stack:
        directory = options.histories or stack.enter_context(tempfile.TemporaryDirectory())
        plan = Plan(
            url=options.url,
            directory=str(directory),
            kills=options.kills,
            publishers=options.publishers,
            consumers=options.consumers,
            seed=options.seed,
            lease=options.lease,
            gap=options.gap,
            broker=options.broker,
        )
        report = run(plan, _load(options.after_kill), _shell(options.engine))
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return 0 if report.valid else 1


def _load(name: str | None) -> Callable[[str], None] | None:
    if name is None:
        return None
    module, _, function = name.partition(":")
    hook: Callable[[str], None] = getattr(importlib.import_module(module), function)
    return hook


def _shell(command: str | None) -> Callable[[], None] | None:
    """Return what runs a command of the shell."""
    return None if command is None else lambda: _run_engine(command)


def _run_engine(command: str) -> None:
    done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, check=False)  # noqa: S602 - the user's
    if done.returncode:
        raise CrewFailed(f"{command!r} failed with exit code {done.returncode}")


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    line = argparse.ArgumentParser(
        prog="python -m distqueue.conformance.campaign",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    line.add_argument("url", help="the store; a new one, with an absolute path")
    line.add_argument("--kills", type=int, default=200)
    line.add_argument("--publishers", type=int, default=4)
    line.add_argument("--consumers", type=int, default=2)
    line.add_argument("--seed", type=int, default=0)
    line.add_argument(
        "--lease",
        type=float,
        default=10.0,
        help="seconds; longer than any stall, so that only kills explain a redelivery",
    )
    line.add_argument("--broker", action="store_true", help="serve it from a broker process, killed too")
    line.add_argument("--engine", metavar="COMMAND", help="kills the store's engine and starts it again")
    line.add_argument("--gap", type=float, default=0.1, help="mean seconds between kills")
    line.add_argument("--histories", help="an empty directory to keep the histories in")
    line.add_argument("--after-kill", metavar="MODULE:FUNCTION", help="called with the URL after each kill")
    return line


if __name__ == "__main__":
    sys.exit(main())
