"""Publishing, against the limit of the disk and against queues that sync each publish, too."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest

from benchmarks.conftest import ROUNDS, WARMUP, Compared
from benchmarks.contenders import PAYLOAD, last_commits
from benchmarks.peers.huey import Huey
from benchmarks.peers.litequeue import Litequeue
from distqueue.bench.contender import Contender, Distqueue
from distqueue.bench.raw import RawLog


@pytest.mark.parametrize(
    ("batch", "tasks"), [(1, 400), (10, 2000), (100, 5000), (1000, 20_000)], ids=lambda n: str(n)
)
def test_put(batch: int, tasks: int, folder: Path, compared: Compared, opened: ExitStack) -> None:
    ours = opened.enter_context(closing(Distqueue(f"json:///{folder}/Queue.json")))
    payloads = [PAYLOAD] * batch
    for _ in range(3):
        ours.put(payloads)
    block = last_commits(folder / "Queue.json", 1)[0]
    rounds = ROUNDS + WARMUP
    raw = RawLog(f"{folder}/raw", len(block) * (tasks // batch) * rounds)
    peers: dict[str, Contender] = {"litequeue FULL": Litequeue(f"{folder}/")}
    if batch == 1:
        peers["huey fsync"] = Huey(f"{folder}/")
    opened.enter_context(closing(raw))
    for peer in peers.values():
        opened.enter_context(closing(peer))
    few = max(batch, tasks // 8)

    def load(contender: Contender, count: int) -> None:
        for _ in range(count // batch):
            contender.put(payloads)

    def limit() -> None:
        for _ in range(tasks // batch):
            raw.commit(block)

    compared.run(
        f"put, {batch} a commit",
        tasks,
        lambda: load(ours, tasks),
        {
            "raw": (tasks, limit),
            **{name: (few, partial(load, peer, few)) for name, peer in peers.items()},
        },
        before=ours.queue.purge,
    )
