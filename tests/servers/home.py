"""The directory that a server runs in, the account that it runs as, and the port that it listens on."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

_PORTS: Final = range(20_000, 32_000)
"""Below those that clients get: one that dials such a port while nobody listens may connect to itself."""
_PATIENCE: Final = 60.0
_JANITOR: Final = """
cat > /dev/null
directory=$1; shift
for log in "$directory"/*.log; do "$@" "${log%.log}" > /dev/null 2>&1; done
rm -rf "$directory" 2> /dev/null
"""


class Home:
    """A temporary directory for servers: what runs there is stopped, and it is removed, by ``close``.

    If this process is killed, so that it closes nothing, a shell that waits for the end of its pipe does so
    all the same. It is in a session of its own, out of the reach of Ctrl-C.
    """

    def __init__(self, programs: Path, stop: Sequence[str], parent: str | None = None) -> None:
        """Make a directory in ``parent`` for servers of the programs in a directory.

        ``stop`` is the command that stops the server which logs to ``NAME.log``, when the directory ``NAME``
        is added to it.
        """
        # A server refuses to run as root.
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.path = Path(tempfile.mkdtemp(prefix="distqueue-server-", dir=parent))
        if self._account is not None:
            if not _is_open(programs):
                programs = _copied(programs, self.path)
            _give(self.path, self._account)
        self._programs = programs
        self._started: list[subprocess.Popen[bytes]] = []
        janitor = ("-c", _JANITOR, "janitor", str(self.path), str(programs / stop[0]), *stop[1:])
        self._janitor = self.start("/bin/sh", *janitor, stdin=subprocess.PIPE)

    def start(
        self,
        program: str | Path,
        *arguments: str | Path,
        log: IO[bytes] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a program as the account that owns the directory; it is waited for by ``close``."""
        process = subprocess.Popen(
            [self._programs / program, *arguments],
            stdin=stdin,
            stdout=log,
            stderr=log,
            cwd=self.path,
            user=self._account and self._account.pw_uid,
            group=self._account and self._account.pw_gid,
            extra_groups=self._account and [],
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, program: str, *arguments: str | Path) -> str:
        """Let a program run to its end, and return what it said; if it fails, that is the error."""
        with tempfile.TemporaryFile() as log:
            code = self.start(program, *arguments, log=log).wait(_PATIENCE)
            log.seek(0)
            said = log.read().decode()
        if code:
            raise RuntimeError(f"{program}: {said}")
        return said

    def close(self) -> None:
        """Stop what runs here, and remove the directory."""
        self._janitor.communicate()
        for process in self._started:
            process.wait(_PATIENCE)
        shutil.rmtree(self.path, ignore_errors=True)


def _is_open(directory: Path) -> bool:
    """Whether everybody may go to a directory."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (directory, *directory.parents))


def _copied(programs: Path, directory: Path) -> Path:
    """Copy the package of a wheel, and the libraries beside it, to where everybody may go."""
    package = programs.parents[1]
    for part in package.parent.glob(f"{package.name}*"):
        shutil.copytree(part, directory / part.name)
    return directory / programs.relative_to(package.parent)


def _give(directory: Path, account: pwd.struct_passwd) -> None:
    """Let an account be the owner of directories, so that it can remove them."""
    for place, _, _ in os.walk(directory):
        os.chown(place, account.pw_uid, account.pw_gid)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
