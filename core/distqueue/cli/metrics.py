"""``--metrics``: where a worker serves its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

if TYPE_CHECKING:
    from distqueue.worker.worker import Worker

LOOPBACK: Final = "127.0.0.1"

_log: Final = getLogger("distqueue.worker")


class Address(NamedTuple):
    """Where something listens."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """Return what ``[HOST:]PORT`` stands for; without a host only this machine is served.

    Raises:
        BadParameter: it is no such address.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise typer.BadParameter(f"{text!r} is not [HOST:]PORT, such as 9100, 0.0.0.0:9100 or [::1]:9100")
    return Address(host.strip("[]") or LOOPBACK, int(port))


MetricsAddress = Annotated[
    Address | None,
    typer.Option(
        "--metrics",
        parser=parse_address,
        metavar="[HOST:]PORT",
        help="Serve metrics for Prometheus there, on the loopback unless a host is given.",
        show_default=False,
    ),
]


@contextmanager
def metrics_of(worker: Worker, address: Address | None) -> Iterator[None]:
    """Serve the metrics of a worker while it runs, if an address is given.

    Raises:
        PluginError: prometheus-client is not installed.
        ConfigError: nothing can listen there.
    """
    if address is None:
        yield
        return
    from distqueue.plugins import installed_plugins  # not needed by whoever asks for help

    installed_plugins().load_observers(["prometheus"])  # says what to install if it cannot be imported
    from distqueue.observers.scraping import serve_metrics

    with serve_metrics(worker, *address) as port:
        _log.info("metrics are at http://%s:%d/metrics", address.host, port)
        yield
