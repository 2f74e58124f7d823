"""An acknowledgement leaves a broker process once the task is on the disk: seen in its system calls."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from distqueue import Queue
from distqueue.conformance.syscalls import CALLS
from distqueue.supervisor import Supervisor
from tests.json.test_order_of_calls import disk_of
from tests.json.tracing import need_strace


def test_nothing_is_answered_before_it_is_synced(
    url: str, serve: Callable[..., Supervisor], tmp_path: Path
) -> None:
    need_strace()
    supervisor = serve()
    trace = tmp_path / "trace"
    disk = disk_of(tmp_path / "Queue.json")
    calls = f"trace={CALLS},sendto"
    strace = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "200", "-o", str(trace), "-e", calls, "-p", str(supervisor.pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert strace.stderr is not None
    assert "attached" in strace.stderr.readline()
    with Queue(url) as queue:
        for n in range(10):
            queue.put(n)
        delivery = queue.get(timeout=0)
        assert delivery is not None
        delivery.ack()
    supervisor.stop()
    strace.communicate(timeout=20)
    trace_lines = trace.read_text(errors="replace").splitlines()
    assert disk.follow(trace_lines, lambda call: call.name == "sendto" and "applied" in call.arguments) == []
    assert disk.answers == 12
