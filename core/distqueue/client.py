"""What :class:`Queue` and :class:`AsyncQueue` have in common: where they are, and for which process."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Self, Unpack

from distqueue.broker import Broker
from distqueue.commands import Claim, Put
from distqueue.defaults import Defaults
from distqueue.errors import CarriedAcrossFork, Closed, Unsupported
from distqueue.forking import whole_imports
from distqueue.ids import new_token
from distqueue.limits import check_queue_name
from distqueue.payload import Payload
from distqueue.request import PutOptions, Putter
from distqueue.session import Session
from distqueue.times import Duration, seconds
from distqueue.within import Within

if TYPE_CHECKING:
    from distqueue.urls import StoreURL


class Client[S: Session](ABC):
    """A named queue of a store, which is opened when it is first needed, in each process by itself."""

    def __init__(self, url: str | StoreURL | None = None, name: str = "default", **options: object) -> None:
        # Imported here, as opening a store needs much that importing distqueue does not.
        with whole_imports():
            from distqueue.configured import configured

        found = configured(url, check_queue_name(name), options)
        self._set_up(found.open_broker, name, found.defaults, found.open_within)

    @classmethod
    def over(cls, broker: Broker, name: str = "default", defaults: Defaults | None = None) -> Self:
        """Return a queue on a broker that is open already, and is closed with the queue.

        Threads and the renewal of leases call the broker at the same time: a backend has to be
        wrapped in a :class:`~distqueue.groupcommit.GroupCommit`.
        """
        client = cls.opened_by(partial(_same, broker, os.getpid()), name, defaults)
        _ = client._session.broker  # so that it is closed with the queue even if that was never used
        return client

    @classmethod
    def opened_by(
        cls,
        open_broker: Callable[[], Broker],
        name: str = "default",
        defaults: Defaults | None = None,
        open_within: Callable[[object], Within] | None = None,
    ) -> Self:
        """Return a queue on the broker that ``open_broker`` returns, once it is needed, in each process.

        ``open_within`` returns what carries out puts in the transaction of a connection.
        """
        client = cls.__new__(cls)
        client._set_up(open_broker, name, defaults or Defaults(), open_within)
        return client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def task(self, data: object, **options: Unpack[PutOptions]) -> Put:
        """Return a task that has its id but is not stored yet: for ``put_many`` and ``ack(then=…)``.

        Options as for :meth:`put`.

        Raises:
            InvalidTask: the payload cannot be written as JSON, or an option is not what it has to be.
        """
        return self._putter.one(data, options)

    def task_of(self, payload: Payload, **options: Unpack[PutOptions]) -> Put:
        """Return a task as :meth:`task` does, with a payload that is encoded already."""
        return self._putter.of(payload, options)

    def within(self, connection: object) -> Within:
        """Return what puts tasks in the transaction that is open on a connection of the application's.

        Raises:
            Closed: the queue has been closed.
            Unsupported: the store cannot use the connection.
        """
        self._check_open()
        if self._open_within is None:
            raise Unsupported("this queue was not made with a URL; make one for the database of connection=")
        return self._open_within(connection)

    @abstractmethod
    def _new_session(self, open_broker: Callable[[], Broker]) -> S:
        """Return what a process needs to use the queue; opens nothing yet."""

    @property
    def _session(self) -> S:
        self._check_open()
        # Never the session of a process from which this one was forked: its files, locks and threads
        # are not ours. It stays referenced, as freeing it would close what the parent still uses.
        pid = os.getpid()
        return self._sessions.get(pid) or self._sessions.setdefault(pid, self._new_session(self._open_broker))

    def _check_open(self) -> None:
        if self._is_closed:
            raise Closed(f"the queue {self.name!r} has been closed; open another one")

    def _new_claim(self, count: int, lease: Duration | None) -> Claim:
        length = self._defaults.lease if lease is None else seconds("lease", lease)
        return Claim(queue=self.name, token=new_token(), count=count, lease=length)

    def _set_up(
        self,
        open_broker: Callable[[], Broker],
        name: str,
        defaults: Defaults,
        open_within: Callable[[object], Within] | None = None,
    ) -> None:
        self.name = check_queue_name(name)
        self._open_broker = open_broker
        self._open_within = open_within
        self._defaults = defaults
        self._putter = Putter(name, defaults.max_attempts, defaults.keep_done)
        self._sessions: dict[int, S] = {}
        self._is_closed = False


def _same(broker: Broker, pid: int) -> Broker:
    if os.getpid() != pid:
        raise CarriedAcrossFork("the broker was opened by another process; open its URL in this one")
    return broker
