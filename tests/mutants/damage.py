"""The ways to damage the code of this process, all of which can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from distqueue.backend import Backend
from distqueue.broker.door import Door
from distqueue.capabilities import Capabilities
from distqueue.commands import Ack, Command, Put
from distqueue.results import Outcome

changed = msgspec.structs.replace
"""Return a copy of a command or a result with other values."""


_ABSENT: Final = object()
_replaced: Final[list[tuple[object, str, object]]] = []
"""What was replaced where, and by what it has to be replaced again."""


def replace(owner: object, name: str, new: object) -> None:
    """Put something else in the place of a method, or of a name in a module."""
    _replaced.append((owner, name, vars(owner).get(name, _ABSENT)))
    setattr(owner, name, new)


@contextmanager
def undone() -> Iterator[None]:
    """Undo afterwards what was damaged meanwhile."""
    try:
        yield
    finally:
        while _replaced:
            owner, name, old = _replaced.pop()
            if old is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, old)


def around(owner: object, name: str, do: Callable[..., Any]) -> None:
    """Call ``do`` in the place of a function, with the real one and what that would get."""
    real = getattr(owner, name)
    replace(owner, name, lambda *args, **kwargs: do(real, *args, **kwargs))


def nothing(owner: object, name: str) -> None:
    """Let a function do nothing, and return nothing."""
    replace(owner, name, lambda *args, **kwargs: None)


def declare(**capabilities: object) -> None:
    """Declare something else than the store does, which goes on as before."""
    real: property = vars(Door)["capabilities"]

    def declared(door: Door) -> Capabilities:
        good: Capabilities = real.__get__(door)
        return changed(good, **capabilities)

    replace(Door, "capabilities", property(declared))


def rewrite[C: Command](kind: type[C], change: Callable[[C], Command]) -> None:
    """Let other commands of a kind be carried out than those that were sent; puts also in an ack."""

    def rewritten(command: Command) -> Command:
        if isinstance(command, kind):
            return change(command)
        if isinstance(command, Ack) and command.then:
            return changed(command, then=tuple([rewritten(put) for put in command.then]))
        return command

    around(Backend, "carry_out", lambda real, backend, commands: real(backend, [*map(rewritten, commands)]))


def set_option(**options: object) -> None:
    """Let tasks be put with other options than they have."""
    rewrite(Put, lambda put: changed(put, options=changed(put.options, **options)))


def answer[C: Command](kinds: type[C], change: Callable[[C, Any], Outcome]) -> None:
    """Let commands of a kind be answered with something else, made of the command and its outcome."""

    def carry_out(
        real: Callable[..., list[Outcome]], backend: Backend, commands: Sequence[Command]
    ) -> object:
        return [
            change(command, outcome) if isinstance(command, kinds) else outcome
            for command, outcome in zip(commands, real(backend, commands))
        ]

    around(Backend, "carry_out", carry_out)


def pretend[C: Command](kinds: type[C], change: Callable[[C], Outcome]) -> None:
    """Let commands of a kind not be carried out, but answered."""

    def carry_out(
        real: Callable[..., list[Outcome]], backend: Backend, commands: Sequence[Command]
    ) -> object:
        rest = iter(real(backend, [command for command in commands if not isinstance(command, kinds)]))
        return [change(command) if isinstance(command, kinds) else next(rest) for command in commands]

    around(Backend, "carry_out", carry_out)
