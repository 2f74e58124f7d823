"""Mutants that put tasks wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distqueue.backend import Backend
from distqueue.commands import Command
from distqueue.errors import Refused

from .damage import around
from .mutant import mutant


@mutant("one bad command fails the whole batch", caught_by="PUT-6 PUT-7 LIMIT-19")
def a_bad_command_fails_the_batch() -> None:
    def carry_out(real: Any, backend: Backend, commands: Sequence[Command]) -> object:
        outcomes = real(backend, commands)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        return refused[:1] * len(commands) if refused else outcomes

    around(Backend, "carry_out", carry_out)
