"""A handler, and the ways to have it carried out: now, or by a worker."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, cast

from distqueue.app.arguments import Arguments
from distqueue.app.call import encode_call
from distqueue.app.headers import with_headers
from distqueue.app.policy import Policy
from distqueue.commands import Put
from distqueue.errors import InvalidTask
from distqueue.limits import check_queue_name
from distqueue.outcomes import expect
from distqueue.request import PutOptions, check_put_options
from distqueue.results import Stored

if TYPE_CHECKING:
    from distqueue.app.app import App


_NOT_OF_TASK: Final = ("queue", "connection")


class EnqueueOptions(PutOptions, total=False):
    """What :meth:`TaskFunction.options` takes: the options of a task, and where it goes.

    ``queue`` is the name of another queue than the handler's own. ``connection`` is a connection of yours to
    the store's database: the task is stored in the transaction that is open there.
    """

    queue: str
    connection: object


class TaskFunction[**P, R]:
    """A function that ``@app.task`` made a handler.

    To call it just runs it. To enqueue it stores a task that says with which arguments a worker shall run it;
    they are checked against the signature at once.

    >>> @app.task(queue="emails", max_attempts=8, timeout=30)                  # doctest: +SKIP
    ... def send_email(to: str) -> None: ...
    >>> send_email("a@example.org")                                            # doctest: +SKIP
    >>> send_email.enqueue("a@example.org")                                    # doctest: +SKIP
    >>> send_email.options(delay=60, priority=5).enqueue("a@example.org")      # doctest: +SKIP
    """

    def __init__(
        self,
        app: App,
        function: Callable[P, R],
        name: str,
        policy: Policy,
        options: EnqueueOptions,
    ) -> None:
        functools.update_wrapper(self, function)
        self.app = app
        self.function = function
        self.name = name
        """By which workers know it."""
        self.policy = policy
        self.arguments = Arguments(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self._options = options
        self.said: EnqueueOptions = {}
        """What :meth:`options` has said on top of the handler's own."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<TaskFunction {self.name!r} of queue {self.queue!r}>"

    @property
    def queue(self) -> str:
        """The queue that its tasks are put into."""
        return self._options.get("queue", self.app.default_queue)

    def has_option(self, name: str) -> bool:
        """Whether its tasks have this option."""
        return self._options.get(name) is not None

    def options(self, **options: Unpack[EnqueueOptions]) -> Self:
        """Return the same handler, whose tasks are enqueued with these options on top of its own.

        Raises:
            InvalidTask: one is not what it has to be, or there is none of this name.

        >>> send_email.options(delay=60, unique="welcome-7").enqueue("a@example.org")  # doctest: +SKIP
        """
        check_enqueue_options(self.name, options)
        # Not copied by calling the class: a task function of a subclass may take other arguments.
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        other._options = cast(EnqueueOptions, {**self._options, **options})
        other.said = cast(EnqueueOptions, {**self.said, **options})
        return other

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Stored:
        """Let a worker call it with these arguments; return once the task is stored.

        Raises:
            InvalidTask: the arguments are not what it takes, or cannot be written as JSON.
            Refused, StoreError, OutcomeUnknown: as :meth:`Queue.put <distqueue.queue.Queue.put>`.
        """
        put = self.task(*args, **kwargs)
        connection = self._options.get("connection")
        return self.app.queue(self.queue).put(put, connection=connection)

    def enqueue_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Stored]:
        """Let a worker make many calls; the tasks are stored as many in one commit as the store allows.

        Each call is a tuple of arguments, or a mapping of them by name.

        >>> send_email.enqueue_many([("a@example.org",), {"to": "b@example.org"}])  # doctest: +SKIP

        Raises:
            InvalidTask: the arguments of a call are not what it takes; nothing is stored.
            BatchRefused: at least one task was refused; the others are stored.
        """
        puts = [self._put_of(*_split(self.name, call)) for call in calls]
        connection = self._options.get("connection")
        return self.app.queue(self.queue).put_many(puts, connection=connection)

    async def enqueue_async(self, *args: P.args, **kwargs: P.kwargs) -> Stored:
        """As :meth:`enqueue`, off the event loop; what coroutines enqueue at the same time is one commit.

        A ``connection`` is one that is awaited, such as asyncpg's.
        """
        put = self.task(*args, **kwargs)
        connection = self._options.get("connection")
        if connection is None:
            return expect((await self.app.store.commit.submit([put]))[0], Stored)
        return expect((await self.app.queue(self.queue).within(connection).apply_async([put]))[0], Stored)

    def task(self, *args: P.args, **kwargs: P.kwargs) -> Put:
        """Return the task without storing it: for ``current_delivery().then(…)`` and ``queue.put_many``.

        Raises:
            InvalidTask: the arguments are not what it takes, or cannot be written as JSON.
        """
        return self._put_of(args, kwargs)

    def _put_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Put:
        data = encode_call(self.name, self.arguments.encode(args, kwargs))
        return with_headers(self.app.queue(self.queue).task_of(data, **of_task(self._options)), self.name)


def of_task(options: EnqueueOptions) -> PutOptions:
    """Return those options that are the task's own."""
    return cast(PutOptions, {name: value for name, value in options.items() if name not in _NOT_OF_TASK})


def check_enqueue_options(name: str, options: EnqueueOptions) -> None:
    """Refuse options that a task function's tasks cannot have.

    Raises:
        InvalidTask: one is not what it has to be, or there is none of this name.
    """
    try:
        check_put_options(of_task(options))
        if "queue" in options:
            check_queue_name(options["queue"])
    except InvalidTask as error:
        raise InvalidTask(f"{name}: {error}") from None


def _split(name: str, call: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(call, Mapping):
        return (), dict(call)
    if isinstance(call, tuple):
        return call, {}
    raise InvalidTask(
        f"{name}: a call is {call!r:.80}; give a tuple of its arguments, or a dict of them by name"
    )
