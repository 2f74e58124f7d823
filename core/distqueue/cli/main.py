"""The command ``distqueue``: its verbs, and what happens around each of them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType
from typing import Annotated, Final, NoReturn

import typer

from distqueue.cli.errors import EXIT_CODES, ExitCode, complain, report
from distqueue.cli.output import flush, print_line
from distqueue.errors import DistqueueError

VERBS: Final[dict[str, dict[str, str]]] = {
    "Begin": {
        "demo": "demo:demo",
    },
    "Publish and consume": {
        "put": "publish:put",
        "get": "consume:get",
        "ack": "settle:ack",
        "retry": "settle:retry",
        "release": "settle:release",
        "reject": "settle:reject",
    },
    "Run functions": {
        "work": "work:work",
        "schedules": "schedules:schedules",
    },
    "Look": {
        "show": "read:show",
        "stats": "read:stats",
        "peek": "read:peek",
        "dead": "read:dead",
        "top": "top:top",
    },
    "Manage": {
        "redrive": "admin:redrive",
        "cancel": "admin:cancel",
        "purge": "admin:purge",
        "pause": "admin:pause",
        "resume": "admin:resume",
    },
    "Stores": {
        "export": "transfer:export_verb",
        "import": "transfer:import_verb",
        "move": "move:move",
        "migrate": "migrate:migrate",
        "serve": "serve:serve",
        "fsck": "check:fsck",
        "bench": "bench:bench",
        "conformance": "conformance:conformance",
        "backends": "installed:backends",
        "config": "installed:config",
    },
}
"""Every verb, under the heading that it has in the help, and where below ``distqueue.cli`` it is."""


def main() -> int:
    """Carry out the command line and return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    if not _has_output():
        return ExitCode.ERROR
    try:
        return _run()
    except BrokenPipeError:  # whoever read has seen enough
        return ExitCode.ERROR
    except (DistqueueError, OSError) as error:
        return report(error)


def build(verb: str | None = None, *, is_rich: bool) -> typer.Typer:
    """Return the command, with all verbs or with one; with ``is_rich``, its help has boxes and colours."""
    app = typer.Typer(
        name="distqueue",
        epilog=EXIT_CODES,
        rich_markup_mode="markdown" if is_rich else None,
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_about)
    for panel, verbs in VERBS.items():
        for name, place in verbs.items():
            if verb in (None, name):
                app.command(name, rich_help_panel=panel)(_load(place))
    return app


def _load(place: str) -> Callable[..., None]:
    module, _, name = place.partition(":")
    function: Callable[..., None] = getattr(import_module(f"distqueue.cli.{module}"), name)
    return function


def _verb_of(arguments: Sequence[str]) -> str | None:
    """Return the verb that a command line begins with, if it is one; to import them all takes longer."""
    names = {name for verbs in VERBS.values() for name in verbs}
    return arguments[0] if arguments and arguments[0] in names else None


def _run() -> int:
    is_rich = sys.stdout.isatty() and sys.stderr.isatty()
    command = typer.main.get_command(build(_verb_of(sys.argv[1:]), is_rich=is_rich))
    try:
        command.main(prog_name="distqueue")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    finally:
        flush()
    return ExitCode.OK


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version  # which takes longer than the help

        print_line(f"distqueue {version('distqueue')}")
        raise typer.Exit


def _about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version)
    ] = False,
) -> None:
    """A durable task queue with swappable storage: start with one readable Queue.json."""


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _has_output() -> bool:
    """Fill the places of closed standard streams, so that no file of a store comes to stand there.

    A closed standard output is an error: what is got would be lost.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    if sys.stdout is None:
        complain("the standard output is closed; redirect it to /dev/null if nobody is to see it")
    return sys.stdout is not None
