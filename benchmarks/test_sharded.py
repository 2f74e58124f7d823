"""The sharded JSON backend, against one file shared in the same way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.sharing import compare, subjects_in
from benchmarks.test_waking import measure_waking


def test_four_publishers_and_two_consumers(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    known = subjects_in(folder)
    subjects = {name: known[name] for name in ("sharded", "direct", "litequeue FULL")}
    compare("sharded-json, 8 shards: 4 publishers, 2 consumers", subjects, benchmark, report)


def test_put_to_a_waiting_consumer(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    measure_waking("sharded-json: ", f"sharded-json:///{folder}/queue.d", benchmark, report)
