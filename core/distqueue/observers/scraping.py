"""``/metrics`` of a worker: what the observer ``prometheus`` counts, and what is in the store just then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from logging import getLogger
from typing import Final

from prometheus_client import REGISTRY, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from distqueue.errors import ConfigError, DistqueueError
from distqueue.results import Counted, QueueStats
from distqueue.worker.worker import Worker

STATES: Final = ("ready", "scheduled", "leased", "done", "dead", "waiting")
PATIENCE: Final = 2.0
"""How long a scrape waits for the store, in seconds."""

_log: Final = getLogger("distqueue.worker")


class WorkerCollector(Collector):
    """Counts the tasks of the store when it is asked to, and tells what the worker knows of itself.

    A store that is busy or cannot be used makes ``distqueue_store_up`` 0, and its counts are left out.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="distqueue-stats")
        self._asked: Future[Counted | None] | None = None

    def describe(self) -> Iterator[Metric]:
        """Say nothing before the worker runs."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Count, and give out the figures."""
        counted = self._count()
        yield GaugeMetricFamily(
            "distqueue_store_up", "Whether the store has answered just now.", value=int(counted is not None)
        )
        if counted is not None:
            yield from _figures(counted.queues)
        yield from self._own()

    def close(self) -> None:
        """Ask the store no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count(self) -> Counted | None:
        with self._lock:
            if self._asked is None or self._asked.done():  # a busy store is not asked twice at a time
                self._asked = self._threads.submit(self._worker.counted)
            asked = self._asked
        try:
            return asked.result(PATIENCE)
        except (TimeoutError, DistqueueError) as error:
            _log.warning("the store has not told its counts for the metrics: %s", error or "it is busy")
            return None

    def _own(self) -> Iterator[Metric]:
        tally, plan = self._worker.tally, self._worker.plan
        yield GaugeMetricFamily(
            "distqueue_worker_concurrency", "How many handlers may run at a time.", value=plan.concurrency
        )
        yield CounterMetricFamily(
            "distqueue_worker_children_died",
            "Processes of handlers that ended before their time.",
            value=tally.children_died,
        )
        yield CounterMetricFamily(
            "distqueue_worker_deliveries_lost",
            "Deliveries that could not be settled any more: another worker may have had the task, too.",
            value=tally.lost,
        )


@contextmanager
def serve_metrics(worker: Worker, host: str, port: int) -> Iterator[int]:
    """Serve the metrics of a worker for a while; gives the port, which is a free one if 0 was asked for.

    Raises:
        ConfigError: nothing can be served there.
    """
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise ConfigError(f"nothing can listen at {host}:{port} ({error}); use another --metrics") from error
    collector = WorkerCollector(worker)
    REGISTRY.register(collector)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        REGISTRY.unregister(collector)
        collector.close()


def _figures(queues: list[QueueStats]) -> Iterator[Metric]:
    tasks = GaugeMetricFamily("distqueue_tasks", "Tasks in the store, by state.", labels=["queue", "state"])
    oldest = GaugeMetricFamily(
        "distqueue_oldest_ready_seconds", "How long the oldest ready task has waited.", labels=["queue"]
    )
    paused = GaugeMetricFamily("distqueue_queue_paused", "Whether the queue is paused.", labels=["queue"])
    now = time.time()
    for stats in queues:
        for state in STATES:
            tasks.add_metric([stats.queue, state], getattr(stats, state))
        since = now if stats.oldest_ready_at is None else stats.oldest_ready_at
        oldest.add_metric([stats.queue], max(0.0, now - since))
        paused.add_metric([stats.queue], stats.paused)
    yield from (tasks, oldest, paused)
