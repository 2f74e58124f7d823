"""Running the suite for a URL, as ``distqueue conformance`` does: pytest in a child process."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from distqueue.errors import ConfigError
from distqueue.plugins import installed_plugins
from distqueue.urls import parse_url, redact

URL: Final = "DISTQUEUE_CONFORMANCE_URL"
"""The environment variable in which the plugin gets the URL."""
_NEEDED: Final = ("pytest", "hypothesis")
LIMIT: Final = 600
"""After how many seconds a test is given up, and the run with it: the stacks of all threads are printed."""
_FRESH: Final = ("{tmp}", "{name}")


def check_extra() -> None:
    """Check that what the suite needs is installed.

    Raises:
        ConfigError: it is not; the message says what to do.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} is missing; pip install 'distqueue[conformance]'")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``select`` is what pytest's ``-k`` takes; ``report`` the file that the report goes to."""

    url: str
    report: Path
    quick: bool = False
    seed: int = 0
    select: str = ""

    def check(self) -> None:
        """Check that the run can begin.

        Raises:
            ConfigError: the URL does not name a fresh store.
            UnknownBackend, PluginError: the backend cannot be used.
        """
        if not any(each in self.url for each in _FRESH):
            raise ConfigError(
                f"every test needs a fresh store, so the URL needs {{tmp}} (a new directory) or {{name}} "
                f"(a new name) in it, as in 'json:///{{tmp}}/Queue.json'; this is {redact(self.url)!r}"
            )
        filled = self.url.replace("{tmp}", "/tmp").replace("{name}", "name")  # noqa: S108 - nothing is there
        installed_plugins().resolve(parse_url(filled).scheme)

    def carry_out(self) -> int:
        """Run pytest until it ends, and return its exit code; the report is in the file afterwards.

        An interrupt is passed on, so that pytest ends what its tests have started, and writes its report;
        with another one it is killed. It ends by itself if this process is killed.

        Raises:
            ConfigError: the report cannot be written.
        """
        try:
            self.report.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"the report cannot be written ({error}); name another file") from None
        with tempfile.TemporaryDirectory(prefix="distqueue-conformance-") as directory:
            # Not on its command line, which everybody on the machine can read: a URL may hold a password.
            environment = os.environ | {URL: self.url}
            alive, ours = os.pipe()  # which nobody writes into: it ends with this process
            with open(alive), open(ours, "w"):
                process = subprocess.Popen(
                    self._command(directory, alive), env=environment, process_group=0, pass_fds=[alive]
                )
                try:
                    return process.wait()
                except BaseException:
                    try:
                        process.send_signal(signal.SIGINT)
                        process.wait()
                    except BaseException:
                        process.kill()
                        process.wait()
                        raise
                    raise

    def _command(self, directory: str, alive: int) -> list[str]:
        """Return the command line. What is set up for pytest where the command runs is not its business."""
        command = [sys.executable, "-m", "pytest", "--pyargs", "distqueue.conformance.url", "-q", "-ra"]
        command += ["--tb", "short"]  # a longer one shows the arguments of calls, and so a password
        command += ["-c", os.devnull, "--rootdir", directory, "--basetemp", f"{directory}/stores"]
        command += ["-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "distqueue.conformance.plugin"]
        command += ["--distqueue-report", str(self.report.absolute())]
        command += ["--distqueue-seed", str(self.seed), "--distqueue-attached", str(alive)]
        command += ["-o", f"faulthandler_timeout={LIMIT}", "-o", "faulthandler_exit_on_timeout=true"]
        command += ["--distqueue-quick"] if self.quick else []
        command += ["-k", self.select] if self.select else []
        return command
