"""Programs that are told what to do line by line, and what they ask of the system meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Program:
    """A Python program that answers each line with a line."""

    def __init__(self, source: str, *arguments: str) -> None:
        command = [sys.executable, "-c", source, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.hear()


@contextmanager
def programs(*all_of_them: Program) -> Iterator[None]:
    try:
        yield
    finally:
        for program in all_of_them:
            program.process.kill()
            program.process.communicate()


@contextmanager
def traced(pid: int, log: Path, *options: str) -> Iterator[None]:
    command = ["strace", "-f", "-y", "-o", str(log), *options, "-p", str(pid)]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert strace.stderr is not None
    assert "attached" in strace.stderr.readline()
    try:
        yield
    finally:
        strace.terminate()
        strace.communicate(timeout=20)


def wait_for(log: Path, text: str) -> None:
    """Wait until a traced program is in a call, which its log names as soon as it has begun."""
    tail = subprocess.Popen(["tail", "-n", "+1", "-f", str(log)], stdout=subprocess.PIPE, text=True)
    try:
        assert tail.stdout is not None
        assert any(text in line for line in tail.stdout)
    finally:
        tail.kill()
        tail.communicate()
