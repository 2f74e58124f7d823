"""``distqueue work --metrics``: what Prometheus reads while tasks are carried out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.worker.conftest import Bench, wait_until

pytestmark = pytest.mark.slow


class Metrics:
    """The metrics of a worker, at a port that is free."""

    def __init__(self, bench: Bench, *arguments: str) -> None:
        self.log = bench.log
        self.worker = bench.start("--metrics", "0", "--log-format", "json", *arguments)
        self.url = wait_until(self._find_url, bench.log)

    def _find_url(self) -> str | None:
        for line in self.log.read_text().splitlines():
            if line.startswith("{") and "metrics are at" in (message := json.loads(line)["message"]):
                return str(message.split()[-1])
        return None

    def read(self) -> dict[str, float]:
        """Scrape, and return all samples as ``name{label=value,…}``."""
        with urllib.request.urlopen(self.url, timeout=30) as answer:  # noqa: S310 - it is http
            text = answer.read().decode()
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}"] = sample.value
        return found

    def wait_for(self, name: str, value: float) -> dict[str, float]:
        """Scrape until a sample has a value."""
        return wait_until(lambda: found if (found := self.read()).get(name) == value else None, self.log)


def test_metrics_tell_what_is_in_the_store_and_what_runs(bench: Bench) -> None:
    metrics = Metrics(bench, "-c", "2")
    bench.put("fail")
    bench.put("fail", kind="reject")
    metrics.wait_for("distqueue_tasks{queue=default,state=dead}", 2)
    path = str(bench.directory / "go")
    bench.put("until", count=2, path=path)
    bench.put("work", count=3)
    found = metrics.wait_for("distqueue_handlers_running{queue=default,task=until}", 2)
    found = metrics.wait_for("distqueue_tasks{queue=default,state=ready}", 3)
    assert found["distqueue_store_up{}"] == 1
    assert found["distqueue_tasks{queue=default,state=leased}"] == 2
    assert found["distqueue_oldest_ready_seconds{queue=default}"] > 0
    assert found["distqueue_queue_paused{queue=default}"] == 0
    assert found["distqueue_attempts_failed_total{queue=default}"] == 3
    assert found["distqueue_tasks_dead_total{queue=default}"] == 2
    assert found["distqueue_deliveries_settled_total{queue=default,verb=retry}"] == 3
    assert found["distqueue_deliveries_settled_total{queue=default,verb=reject}"] == 1
    assert found["distqueue_handlers_running{queue=default,task=fail}"] == 0
    assert found["distqueue_handler_seconds_count{queue=default,task=fail,verb=retry}"] == 3
    assert found["distqueue_worker_concurrency{}"] == 2
    assert found["distqueue_worker_children_died_total{}"] == 0
    bench.release()
    found = metrics.wait_for("distqueue_deliveries_settled_total{queue=default,verb=ack}", 5)
    assert found["distqueue_tasks_claimed_total{queue=default}"] == 9
    assert found["distqueue_handlers_running{queue=default,task=until}"] == 0
    assert found["distqueue_handler_seconds_count{queue=default,task=until,verb=ack}"] == 2
    assert found["distqueue_waited_seconds_count{queue=default,task=work}"] == 3
    assert found["distqueue_waited_seconds_count{queue=default,task=fail}"] == 2
    assert found["distqueue_commit_seconds_count{}"] == found["distqueue_commit_changes_count{}"] > 0
    metrics.wait_for("distqueue_oldest_ready_seconds{queue=default}", 0)
    metrics.worker.terminate()
    assert metrics.worker.wait(30) == 0


def test_handlers_whose_process_dies_do_not_run_any_longer(lite: Bench) -> None:
    metrics = Metrics(lite)
    lite.put("die")
    metrics.wait_for("distqueue_tasks{queue=default,state=dead}", 1)
    found = metrics.wait_for("distqueue_handlers_running{queue=default,task=die}", 0)
    assert found["distqueue_worker_children_died_total{}"] == 3


@pytest.mark.parametrize("bench", ["served"], indirect=True)
def test_a_store_that_does_not_answer_does_not_fail_the_scrape(bench: Bench) -> None:
    metrics = Metrics(bench)
    metrics.wait_for("distqueue_store_up{}", 1)
    broker = bench.processes[0]
    broker.send_signal(signal.SIGSTOP)
    try:
        found = metrics.wait_for("distqueue_store_up{}", 0)
        assert found["distqueue_worker_concurrency{}"] == 8
        assert "distqueue_tasks{queue=default,state=ready}" not in found
    finally:
        broker.send_signal(signal.SIGCONT)
    metrics.wait_for("distqueue_store_up{}", 1)


def test_a_port_that_is_taken_is_an_error_that_names_it(lite: Bench) -> None:
    metrics = Metrics(lite)
    port = metrics.url.removesuffix("/metrics").rpartition(":")[2]
    assert lite.start("--metrics", f"127.0.0.1:{port}").wait(60) == 1
    assert f"distqueue: nothing can listen at 127.0.0.1:{port} (" in lite.log.read_text()


@pytest.mark.parametrize("address", ["metrics", "localhost", "1:2:x", "65536", ":"])
def test_what_is_no_address_is_a_wrong_command_line(lite: Bench, address: str) -> None:
    assert lite.start("--metrics", address).wait(60) == 2
    assert "is not [HOST:]PORT" in " ".join(lite.log.read_text().replace("│", " ").split())


WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None  # as if it were not installed
from distqueue.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("library", "extra", "arguments", "observers"),
    [
        ("prometheus_client", "prometheus", ["--metrics", "0"], ""),
        ("opentelemetry", "opentelemetry", [], "opentelemetry"),
    ],
)
def test_a_missing_library_is_an_error_with_the_pip_line(
    lite: Bench, library: str, extra: str, arguments: list[str], observers: str
) -> None:
    program = [sys.executable, "-c", WITHOUT, library]
    verb = ["work", "jobs:app"] if arguments else ["put", "1"]
    if not arguments:
        lite.env["DISTQUEUE_OBSERVERS"] = observers
    done = subprocess.run(
        [*program, *verb, *arguments], cwd=lite.directory, env=lite.env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"; pip install 'distqueue[{extra}]'")
