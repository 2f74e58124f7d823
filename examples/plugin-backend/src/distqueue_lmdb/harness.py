"""What the conformance suite can do to the stores of this distribution."""

from __future__ import annotations

from typing import ClassVar

import lmdb

from distqueue.conformance.harness import Harness


class LmdbHarness(Harness):
    reasons: ClassVar[dict[str, str]] = {
        "advance": "the store reads the clock of the machine",
        "step_clock": "the store reads the clock of the machine",
        "connect": "a transaction of LMDB's cannot be shared with an application",
        "cut_connections": "there is no engine: LMDB is a library",
        "restart_engine": "there is no engine: LMDB is a library",
    }

    def engine(self) -> str:
        return "LMDB " + ".".join(str(part) for part in lmdb.version())

    def holds_tasks(self, path: str) -> bool:
        return path.endswith("/data.mdb")
