"""Lets a backend of this process print what it does, as one under construction may."""

from __future__ import annotations

import os
from collections.abc import Sequence

from distqueue.commands import Command
from distqueue.results import Outcome
from distqueue_backends.memory import MemoryBackend


def make_noise() -> None:
    """Print with each call, and write to the standard output past Python, too."""
    real = MemoryBackend.apply

    def apply(backend: MemoryBackend, commands: Sequence[Command]) -> list[Outcome]:
        print(f"carrying out {len(commands)} commands", flush=True)
        os.write(1, b"no line ")
        return real(backend, commands)

    setattr(MemoryBackend, "apply", apply)  # noqa: B010 - which mypy would not let pass
