"""PgBouncer in transaction mode, in front of a server: Debian's package ``pgbouncer``, if it is there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.chosen import go_without
from tests.servers.home import free_port

_PATIENCE = 30.0
_CONFIGURATION = """
[databases]
postgres = host=127.0.0.1 port={server_port} user=postgres password={password} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
server_reset_query = DISCARD ALL
logfile = {directory}/log
"""


@contextmanager
def pooling(url: str, mode: str = "transaction", size: int = 2) -> Iterator[str]:
    """Run a pooler for the server of a URL meanwhile. The URL leads through it.

    Without one the test is skipped, or fails if ``CI`` is set.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        go_without("needs PgBouncer: apt-get install pgbouncer")
    parts = urlsplit(url)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="distqueue-pooler-") as directory:
        os.chmod(directory, 0o777)  # noqa: S103 - it does not run as root
        file = Path(directory, "pgbouncer.ini")
        file.write_text(
            _CONFIGURATION.format(
                server_port=parts.port,
                password=parts.password,
                port=port,
                mode=mode,
                size=size,
                directory=directory,
            )
        )
        account = ["-u", "nobody"] if os.geteuid() == 0 else []
        # It ends with the process that has started it.
        command = ["setpriv", "--pdeathsig", "KILL", program, *account, str(file)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _wait(port, process)
                yield url.replace(f":{parts.port}/", f":{port}/", 1)
            finally:
                process.kill()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once somebody listens."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "PgBouncer does not start"
        assert time.monotonic() < deadline, "PgBouncer does not listen"
        time.sleep(0.01)
