"""The broker process of a manager: ``python -m distqueue.broker DESCRIPTOR``.

It is told over the socket with that descriptor what to serve, ends when it is told to, and also when
the manager is gone: then too it finishes what has arrived first.
"""

from __future__ import annotations

import signal
import socket
import sys
from logging import getLogger

from distqueue.broker.control import Client, Control, Failed, Ping, Pong, Serve, Serving, Stop
from distqueue.broker.event import Failure
from distqueue.broker.service import Service
from distqueue.urls import parse_url

_log = getLogger("distqueue")


class Managed:
    """A service that obeys a manager."""

    def __init__(self, service: Service, control: Control) -> None:
        self._server = service.server
        self._control = control
        control.socket.setblocking(False)
        self._server.watch(control.socket, self._obey)

    def run(self) -> None:
        """Serve until the manager says otherwise."""
        self._server.run()

    def _obey(self) -> None:
        try:
            order, descriptors = self._control.hear()
            match order:
                case Client(pid):
                    for descriptor in descriptors:
                        self._server.add(socket.socket(fileno=descriptor), pid)
                case Ping():
                    self._control.say(Pong())
                case Stop():
                    self._server.stop()
        except BlockingIOError:
            pass
        except (OSError, EOFError):
            self._server.unwatch(self._control.socket)
            self._server.stop()


def main(descriptor: int) -> int:
    """Serve as a manager says; return the exit code."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C in the manager's terminal is the manager's
    control = Control(socket.socket(fileno=descriptor))
    order, _ = control.hear()
    if not isinstance(order, Serve):
        return 2
    try:
        service = Service(parse_url(order.url), order.path, order.before, **order.options)
    except Exception as error:  # noqa: BLE001 - it belongs to the manager
        control.say(Failed(Failure.of(error)))
        return 1
    try:
        managed = Managed(service, control)
        signal.signal(signal.SIGTERM, lambda *_: service.server.stop())
        control.say(Serving(service.address.path))
        managed.run()
    finally:
        service.close()
    if service.server.failure is not None:
        _log.error("the broker process ends: %s", service.server.failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
