"""Stores to export from and to import into."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from distqueue.broker import Broker
from distqueue.commands import (
    Ack,
    Browse,
    Cancel,
    Claim,
    Command,
    Pause,
    Put,
    Reject,
    Release,
    Remembered,
    Retry,
    Stats,
)
from distqueue.fences import EVERY, FenceLevel
from distqueue.opening import open_broker
from distqueue.outcomes import expect
from distqueue.results import Browsed, Claimed, Counted, Lease, Outcome
from distqueue.task import RememberedTask, TaskRecord
from distqueue.transfer.comparing import normalised
from distqueue.transfer.exporting import export_store
from distqueue.transfer.importing import Imported, import_store
from distqueue.transfer.lines import Counts
from tests.servers import chosen

LONG = 100_000.0
SCHEMES = ("memory", "json", "sqlite")
PAIRS = [(one, other) for one in SCHEMES for other in SCHEMES]
PAIRS += [("json", "postgresql"), ("postgresql", "sqlite")]


class Store:
    """A store, with the shortest ways to do things to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.broker: Broker = open_broker(url)

    def do(self, *commands: Command) -> list[Outcome]:
        """Carry out commands."""
        return self.broker.apply(commands)

    def put(self, *task_ids: str, queue: str = "default", data: object = None, **options: Any) -> None:
        """Put tasks that all have the same data and options."""
        raw = json.dumps(data).encode()
        self.do(*[Put.make(queue, each, raw, **options) for each in task_ids])

    def claim(self, count: int = 1, queue: str = "default") -> list[Lease]:
        """Claim tasks for a long time."""
        claim = Claim(queue=queue, token="t", count=count, lease=LONG)  # noqa: S106 - no password
        return expect(self.do(claim)[0], Claimed).leases

    def export(self, path: Path, queues: Sequence[str] | None = None) -> Counts:
        """Export to a file."""
        return asyncio.run(export_store(self.broker, queues, str(path)))

    def import_(self, path: Path, queues: Sequence[str] | None = None, **options: Any) -> Imported:
        """Import from a file."""
        return asyncio.run(import_store(self.broker, queues, str(path), **options))

    def fill(self) -> None:
        """Bring tasks into every state there is, in three queues."""
        self.put("done", keep_done=LONG)
        self.put("acked", "retried", "dead", "leased", "released", data={"ä": ["\u2028", 1.5, 10**30, None]})
        done, acked, retried, dead, _, released = self.claim(6)
        receipts = [each.receipt for each in (done, acked)]
        self.do(*[Ack(queue="default", receipt=each) for each in receipts])
        self.do(Retry(queue="default", receipt=retried.receipt, delay=LONG, error="host is down\nreally"))
        self.do(Reject(queue="default", receipt=dead.receipt, error="never \x00", traceback="ä\nline 7"))
        self.do(Release(queue="default", receipt=released.receipt))
        self.put("later", delay=LONG, priority=31, expires_in=LONG * 2)
        self.put("g1", "g2", "g3", group="ä group", priority=3)
        self.put("u", unique="key", publisher_id="me", headers={"a": "1", "ü": ""}, max_attempts=None)
        self.put("cancelled")
        self.do(Cancel(queue="default", task_id="cancelled"))
        self.put("x", "y", queue="paused", data="\U0001f600")
        self.do(Pause(queue="paused"))
        self.do(Pause(queue="empty-and-paused"))


def queue_names(store: Store) -> list[str]:
    return [each.queue for each in expect(store.do(Stats(queue="*"))[0], Counted).queues]


def pages(store: Store, question: Browse | Remembered) -> Iterator[Browsed]:
    """Return all pages of an answer."""
    after = None
    while True:
        page = expect(store.do(msgspec.structs.replace(question, after=after))[0], Browsed)
        yield page
        if (after := page.next) is None:
            return


def everything(store: Store) -> dict[str, list[TaskRecord | RememberedTask | bool]]:
    """Return all that there is of each queue, in order."""
    found: dict[str, list[TaskRecord | RememberedTask | bool]] = {}
    for queue in queue_names(store):
        counted = expect(store.do(Stats(queue=queue))[0], Counted)
        tasks = [task for page in pages(store, Browse(queue=queue, limit=9999)) for task in page.tasks]
        memory = [
            each for page in pages(store, Remembered(queue=queue, limit=9999)) for each in page.remembered
        ]
        found[queue] = [*tasks, *memory, counted.queues[0].paused]
    return found


def without_places(store: Store) -> dict[str, list[str]]:
    """Return all that there is of each queue, but for the order: shards have one each."""
    return {
        queue: sorted(
            str(normalised(each, places=False) if isinstance(each, TaskRecord) else each) for each in content
        )
        for queue, content in everything(store).items()
    }


def fences(store: Store) -> dict[str, str]:
    """Return the fences that stand."""
    counted = expect(store.do(Stats(queue="*"))[0], Counted)
    found = {each.queue: each.fence.value for each in counted.queues if each.fence is not FenceLevel.NONE}
    if "fence" in counted.store:
        found[EVERY] = str(counted.store["fence"])
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an export."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def task_ids(path: Path) -> list[str]:
    """Return the ids of the tasks in an export."""
    return [line["task"]["task_id"] for line in lines(path) if "task" in line]


@pytest.fixture(params=["memory", "json"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Make an empty store, on each backend."""
    made: list[Store] = []

    def make() -> Store:
        urls = {"memory": "memory://", "json": f"json:///{tmp_path}/{len(made)}.json"}
        made.append(Store(urls[request.param]))
        return made[-1]

    yield make
    for store in made:
        store.broker.close()


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    """An empty store."""
    return new_store()


@pytest.fixture
def other(new_store: Callable[[], Store]) -> Store:
    """Another empty store."""
    return new_store()


class Stores:
    """Makes empty stores, which are closed in the end. They remember ids for longer than a test takes."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._made: list[Store] = []

    def __call__(self, scheme: str, **options: object) -> Store:
        options = {"dedup_window": LONG} | options
        query = "&".join(f"{key}={value}" for key, value in options.items())
        if scheme == "postgresql":
            url = self._stack.enter_context(chosen.new_store(chosen.postgres_url()))
            self._made.append(Store(chosen.with_query(url, query)))
            return self._made[-1]
        name = f"{len(self._made)}.{scheme}"
        place = f"///{self._directory}/{name}" if scheme != "memory" else f"//{name}"
        self._made.append(Store(f"{scheme}:{place}?{query}"))
        return self._made[-1]

    def close(self) -> None:
        for store in self._made:
            store.broker.close()


@pytest.fixture
def make(shm: Path) -> Iterator[Stores]:
    with ExitStack() as stack:
        stores = Stores(shm, stack)
        stack.callback(stores.close)
        yield stores


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, make: Stores) -> tuple[Store, Store]:
    """A store, and an empty one on each backend."""
    one, other = request.param
    return make(one), make(other)


@pytest.fixture
def number_of_pair(request: pytest.FixtureRequest) -> int:
    """Which one of the pairs is it, from 0 on."""
    return PAIRS.index(request.node.callspec.params["pair"])
