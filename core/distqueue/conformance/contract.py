"""The contract as a document: every clause of the registry, by group.

    python -m distqueue.conformance.contract
    python -m distqueue.conformance.contract --into docs/contract.md

The page is made of the registry alone, so a test can tell when the two have parted.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from distqueue.conformance import BackendConformance  # noqa: F401 - it registers the clauses
from distqueue.conformance.clauses import CLAUSES, Clause
from distqueue.plugins import CONTRACT


class Group(NamedTuple):
    """What the clauses of a group are about: a heading, and a sentence below it."""

    title: str
    about: str


GROUPS: Final = {
    "DECLARE": Group("The declaration", "What a backend says of itself is true."),
    "PUT": Group("Publishing", "What a put stores, and how commands that come together are answered."),
    "PAYLOAD": Group("Payloads", "A payload is one JSON value, and comes back as the value that it was."),
    "DEDUP": Group("Duplicates", "One id is one task, while the task is there and for a while after."),
    "NAME": Group("Names", "Which names are allowed, and that each allowed name is its own."),
    "LIMIT": Group(
        "Limits", "How large and how many: what is at the limit works, what is over it is refused."
    ),
    "CLAIM": Group("Claiming", "Who gets a task, for how long, and when it is delivered again."),
    "ORDER": Group("Order", "Which task comes next."),
    "COUNT": Group("Deliveries and attempts", "What is counted when a task is handed out or given back."),
    "SETTLE": Group("Settling", "What ack, retry, release, reject and extend do with a task that is out."),
    "AGAIN": Group("Settling again, or too late", "A receipt settles one delivery, once."),
    "THEN": Group("Follow-up tasks", "An ack and the tasks that follow it are one step."),
    "DEAD": Group("Dead tasks", "When a task is given up."),
    "FAIL": Group("Failed attempts", "What is kept of the attempts that failed."),
    "DELAY": Group("Delays", "Tasks that are due later."),
    "GROUP": Group("Groups", "The tasks of a group are handed out one at a time, in their order."),
    "UNIQUE": Group("Unique keys", "At most one task that is not over yet holds a key."),
    "EXPIRY": Group("Expiry", "Tasks that are dropped if nobody claims them in time."),
    "PAUSE": Group("Pausing", "A queue that gives nothing for a while."),
    "KEEP": Group("Keeping what is done", "Tasks that stay findable after their ack."),
    "CANCEL": Group("Cancelling", "One task is removed."),
    "PURGE": Group("Purging", "Many tasks are removed."),
    "REDRIVE": Group("Redriving", "Dead tasks get another chance."),
    "FIND": Group("Finding", "One task is looked at."),
    "BROWSE": Group("Browsing", "All tasks are listed, page by page."),
    "STATS": Group("Statistics", "How many tasks there are, by state."),
    "MOVE": Group("Export and import", "What is read from one store can be loaded into another."),
    "FENCE": Group("Moving a queue", "What a queue that moves to another store takes, gives and refuses."),
    "WAIT": Group("Waiting", "No wake-up is lost, and no waiter is forgotten."),
    "CLOSE": Group("Closing", "What becomes of calls and of other opens when a broker is closed."),
    "THREAD": Group("Threads", "One broker serves many threads."),
    "CLIENT": Group("Clients", "The queues that programs use work on the backend."),
    "TRANSACT": Group("Transactions", "Tasks that are put in a transaction of the application's own."),
    "REOPEN": Group("Durability", "What is still there when the store is opened again."),
    "LIFE": Group("The lifecycle", "Random commands, held against the rules that every task follows."),
    "MODEL": Group(
        "The model", "Random commands, held against a model of the store that answers each of them."
    ),
    "SHARE": Group("Several processes", "Processes that use one store see the same."),
    "FORK": Group("Forks", "What becomes of an open queue when its process forks."),
    "CRASH": Group("Killed processes", "What is left when a process dies or stands still."),
    "LOAD": Group("Load", "Many publishers and consumers at once, judged by what all of them recorded."),
    "CLOCK": Group("Clocks", "What a clock that is set back or forth may change, and what it may not."),
    "SYNC": Group("On the disk", "What is synced before it is answered for."),
    "CUT": Group("Cut connections", "What a caller knows when the connection to the engine breaks."),
    "RESTART": Group("A restarted engine", "What is left when the engine is killed and started again."),
}
"""Every group of clauses, in the order in which the page is read."""

_INTRODUCTION: Final = """\
# The contract

What every backend promises, clause by clause: version {contract} of the contract, {count} clauses. Each
clause is checked by a test of the conformance suite that names it;
[prove a backend](howto/prove-a-backend.md) says how to run it.

A clause is called by its group and a number, `GROUP-4`. Numbers are never reused: a clause that is given up
leaves a gap, and a promise that changes gets a new number. So a number in a report of last year means what
it meant then.

- **needs**: the capabilities that the clause belongs to. Where one of them is not declared, the same test
  checks that what needs it is refused, or the weaker promise that is left without it.
- **asks**: what the harness must be able to do to the store from outside, a method of
  `distqueue.conformance.harness.Harness`. Where it cannot, the clause is reported as *not run*, never as
  passed.
- **since**: the version of the contract that brought the clause.
- **where to look**: where in the backend the mistake usually is when the clause fails.

Written by `python -m distqueue.conformance.contract --into docs/contract.md`: edit the clauses, not this
page.
"""
_COLUMNS: Final = ("clause", "promise", "needs", "asks", "since", "where to look")


def page() -> str:
    """Return the whole contract as Markdown."""
    groups: dict[str, list[Clause]] = defaultdict(list)
    for clause in CLAUSES.values():
        groups[clause.group].append(clause)
    if unknown := sorted(groups.keys() - GROUPS.keys()):
        raise ValueError(f"groups of clauses without a title in {__name__}: {', '.join(unknown)}")
    parts = [_section(name, group, groups[name]) for name, group in GROUPS.items() if name in groups]
    return "\n".join([_INTRODUCTION.format(contract=CONTRACT, count=len(CLAUSES)), *parts])


def _section(name: str, group: Group, clauses: Iterable[Clause]) -> str:
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *map(_row, sorted(clauses, key=_number))]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"## {name}: {group.title}\n\n{group.about}\n\n{table}"


def _row(clause: Clause) -> list[str]:
    needs, asks = (" ".join(f"`{name}`" for name in names) for names in (clause.needs, clause.asks))
    return [clause.id, escaped(clause.text), needs, asks, clause.since, escaped(clause.look)]


def _number(clause: Clause) -> int:
    return int(clause.id.rpartition("-")[2])


def escaped(text: str) -> str:
    r"""Return plain text as the Markdown of a table's cell that shows it.

    >>> escaped("a|b, '*' of keep_done")
    "a\\|b, '\\*' of keep_done"
    """
    return re.sub(r"[\\`*<>|\[\]&~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)


def main(arguments: list[str] | None = None) -> int:
    """Print or write the page, and return the exit code."""
    line = argparse.ArgumentParser(prog="python -m distqueue.conformance.contract", description=__doc__)
    line.add_argument("--into", type=Path, metavar="FILE", help="write the page instead of printing it")
    options = line.parse_args(arguments)
    if options.into is None:
        print(page(), end="")
    else:
        options.into.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
