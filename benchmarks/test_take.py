"""Claiming and acknowledging: two commits a batch, as a claim is on the disk before it is handed out."""

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
    ("batch", "tasks"), [(1, 200), (10, 1000), (100, 5000), (1000, 20_000)], ids=lambda n: str(n)
)
def test_claim_and_ack(batch: int, tasks: int, folder: Path, compared: Compared, opened: ExitStack) -> None:
    ours = opened.enter_context(closing(Distqueue(f"json:///{folder}/Queue.json")))
    ours.put([PAYLOAD] * 2 * batch)
    ours.take(batch)
    claim, ack = last_commits(folder / "Queue.json", 2)
    raw = RawLog(f"{folder}/raw", (len(claim) + len(ack)) * (tasks // batch) * (ROUNDS + WARMUP))
    peers: dict[str, Contender] = {"litequeue FULL": Litequeue(f"{folder}/")}
    if batch == 1:
        peers["huey fsync, no ack"] = Huey(f"{folder}/")
    opened.enter_context(closing(raw))
    for peer in peers.values():
        opened.enter_context(closing(peer))
    few = max(200, batch)

    def load(contender: Contender, count: int) -> None:
        done = 0
        while done < count:
            done += len(contender.take(batch)) or pytest.fail("ran out of tasks")

    def limit() -> None:
        for _ in range(tasks // batch):
            raw.commit(claim)
            raw.commit(ack)

    for peer in peers.values():
        peer.put([PAYLOAD] * few * (ROUNDS + WARMUP))
    compared.run(
        f"claim and ack, {batch} a commit",
        tasks,
        lambda: load(ours, tasks),
        {
            "raw": (tasks, limit),
            **{name: (few, partial(load, peer, few)) for name, peer in peers.items()},
        },
        before=lambda: ours.put([PAYLOAD] * tasks),
    )
