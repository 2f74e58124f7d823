"""Running a scenario with faults in its system calls, by strace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import pytest

_SCENARIOS: Final = str(Path(__file__).with_name("scenarios.py"))
_ATTACHED: Final = b"attached"


class Run(msgspec.Struct, frozen=True):
    """How a run ended: its exit code (negative: the signal that killed it), its notes and its trace."""

    code: int
    notes: list[str]
    trace: list[str]

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL


def need_strace() -> None:
    """Skip the test if there is no strace; where tests have to be complete, fail."""
    if shutil.which("strace") is None:
        if os.environ.get("CI"):
            pytest.fail("strace is missing; install it, these tests may not be left out here")
        pytest.skip("strace is not installed")


class Nursery:
    """Runs scenarios in processes of their own."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes
        self._popen = subprocess.Popen(
            [sys.executable, _SCENARIOS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, name: str, path: Path, *expressions: str) -> Run:
        """Run a scenario on a store, with faults as strace expresses them."""
        self._notes.unlink(missing_ok=True)
        pid = self._start(name, path)
        trace = self._notes.with_suffix(".trace")
        arguments = [argument for expression in expressions for argument in ("-e", expression)]
        strace = subprocess.Popen(
            ["strace", "-f", "-y", "-o", str(trace), *arguments, "-p", str(pid)], stderr=subprocess.PIPE
        )
        assert strace.stderr is not None
        said = strace.stderr.readline()
        if _ATTACHED not in said:
            os.kill(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGCONT)
        code = int(self._hear())
        strace.communicate()
        if _ATTACHED not in said:
            _cannot_trace(said.decode())
        notes = self._notes.read_text().splitlines() if self._notes.exists() else []
        return Run(code, notes, trace.read_text(errors="replace").splitlines())

    def close(self) -> None:
        """End it."""
        self._popen.communicate()

    def _start(self, name: str, path: Path) -> int:
        assert self._popen.stdin is not None
        request = {"path": str(path), "name": name, "notes": str(self._notes)}
        self._popen.stdin.write(json.dumps(request).encode() + b"\n")
        self._popen.stdin.flush()
        return int(self._hear())

    def _hear(self) -> str:
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().decode()


def _cannot_trace(said: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"strace cannot trace here, and these tests may not be left out: {said}")
    pytest.skip(f"strace cannot trace here: {said}")
