"""``App``: the handlers of a program, and the store that holds their tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, overload
from zoneinfo import ZoneInfo

from distqueue.app.function import EnqueueOptions, TaskFunction, check_enqueue_options
from distqueue.app.policy import make_policy
from distqueue.app.schedule import AppSchedule
from distqueue.app.store import Store
from distqueue.configured import Configured, configured
from distqueue.errors import ConfigError, InvalidTask
from distqueue.limits import check_queue_name
from distqueue.plugins import installed_plugins
from distqueue.queue import Queue
from distqueue.retry import Backoff
from distqueue.schedules.schedule import GRACE, Definition
from distqueue.times import Duration
from distqueue.urls import StoreURL

if TYPE_CHECKING:
    from distqueue.testing import AppTester

type Exceptions = type[BaseException] | tuple[type[BaseException], ...]


class App:
    """Functions that workers run, and the store in which their tasks wait.

    ``url`` says where the store is (default: ``DISTQUEUE_URL``, else the nearest ``distqueue.toml``);
    ``queue`` is that of handlers which name none. ``options`` are those of
    :class:`~distqueue.queue.Queue`. The store is opened when it is first needed, once in each process,
    whatever forks.

    >>> app = App("sqlite:///jobs.db")                                         # doctest: +SKIP
    >>> @app.task(queue="emails", max_attempts=8, timeout=30)                  # doctest: +SKIP
    ... def send_email(to: str) -> None: ...

    Run its workers with ``distqueue work module:app``.

    Raises:
        ConfigError: the name of the queue is not allowed. What is wrong with the URL or an option is said
            when the store is first used.
    """

    def __init__(
        self, url: str | StoreURL | None = None, *, queue: str = "default", **options: object
    ) -> None:
        self.default_queue = check_queue_name(queue)
        self._url = url
        self._options = options
        self._tasks: dict[str, TaskFunction[..., Any]] = {}
        self._schedules: dict[str, AppSchedule] = {}
        self._queues: dict[str, Queue] = {}
        self.store = Store(lambda: self.configured().open_broker())
        """The store, shared by all queues of the app."""

    def __repr__(self) -> str:
        return f"<App with {len(self._tasks)} task functions>"

    # --- Handlers -------------------------------------------------------------------------------

    @overload
    def task[**P, R](self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def task[**P, R](
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        timeout: Duration | None = None,
        retry: Backoff | None = None,
        retry_on: Exceptions = (),
        reject_on: Exceptions = (),
        **options: Unpack[EnqueueOptions],
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def task(self, function: Callable[..., Any] | None = None, /, **said: Any) -> Any:
        """Make a function a handler; ``@app.task`` or ``@app.task(…)``.

        ``name`` is what workers know it by, and stays when the function is renamed (default: the function's).
        ``timeout`` is how long it may run (seconds or ``timedelta``): what runs longer is killed, and that
        attempt has failed. ``retry`` is the :class:`~distqueue.retry.Backoff` between attempts.
        Exceptions in ``reject_on`` make the task dead at once; if ``retry_on`` is given, all others do, too.
        ``options`` are those of :class:`~distqueue.app.function.EnqueueOptions`, for every task.

        Raises:
            ConfigError: the app has a handler with this name, or an option is not what it has to be.
        """

        if function is None:
            return lambda function: self._register(function, **said)
        return self._register(function, **said)

    @property
    def tasks(self) -> MappingProxyType[str, TaskFunction[..., Any]]:
        """The handlers, by name."""
        return MappingProxyType(self._tasks)

    @property
    def queue_names(self) -> list[str]:
        """The queues of the handlers, in the order in which they were named; or else the default one."""
        return list(dict.fromkeys(task.queue for task in self._tasks.values())) or [self.default_queue]

    def _register(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        timeout: Duration | None = None,
        retry: Backoff | None = None,
        retry_on: Exceptions = (),
        reject_on: Exceptions = (),
        **options: Unpack[EnqueueOptions],
    ) -> TaskFunction[..., Any]:
        if isinstance(function, TaskFunction):
            raise ConfigError(
                f"{function.name} is a task function already; @app.schedule goes above @app.task, not below"
            )
        called = name or function.__name__
        if called in self._tasks:
            raise ConfigError(
                f"there are two task functions {called!r}; give one of them another name: @app.task(name=…)"
            )
        policy = make_policy(called, timeout, retry, retry_on, reject_on)
        try:
            check_enqueue_options(called, options)
        except InvalidTask as error:
            raise ConfigError(
                f"{error}; besides, @app.task has name, timeout, retry, retry_on, reject_on"
            ) from None
        task = self._tasks[called] = TaskFunction(self, function, called, policy, options)
        return task

    # --- Schedules ------------------------------------------------------------------------------

    def schedule[**P, R](
        self,
        spec: str | None = None,
        /,
        *,
        every: Duration | None = None,
        timezone: str | ZoneInfo = "UTC",
        missed: str = "one",
        grace: Duration = GRACE,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]:
        """Enqueue a task function whenever it is time; stands above ``@app.task(…)``, or instead of it.

        ``spec`` is a cron expression of five fields, by the clocks of ``timezone``; or ``every`` is an
        interval (seconds or ``timedelta``), counted from the Unix epoch. ``args`` and ``kwargs`` are the
        arguments. ``missed`` says what becomes of ticks that no worker came to in time: ``"one"`` task
        for all of them, ``"all"`` of them, or ``"skip"``; a tick is missed if the next one is due, too, or
        if it is late by more than ``grace``. ``name`` is what the store knows it by (default: the task's).

        >>> @app.schedule("30 3 * * *", timezone="Europe/Berlin")              # doctest: +SKIP
        ... @app.task(queue="reports")
        ... def nightly() -> None: ...

        Workers of the app keep its schedules in its store: any number of them gives each tick once.

        Raises:
            ConfigError: the app has a schedule with this name, or something is not what it has to be.
            InvalidTask: the arguments are not what the function takes.
        """

        def decorate(function: Callable[P, R]) -> TaskFunction[P, R]:
            task = function if isinstance(function, TaskFunction) else self.task(function)
            called = task.name if name is None else name
            if called in self._schedules:
                raise ConfigError(
                    f"there are two schedules {called!r}; give one another name: @app.schedule(…, name=…)"
                )
            self._schedules[called] = AppSchedule(
                called, task, spec, every, timezone, missed, grace, args, kwargs
            )
            return task

        return decorate

    @property
    def schedules(self) -> MappingProxyType[str, AppSchedule]:
        """The schedules, by name."""
        return MappingProxyType(self._schedules)

    def definitions(self, app: str) -> list[Definition]:
        """Return what the store keeps of the schedules; ``app`` is the name of this app there.

        Raises:
            ConfigError: the configuration is wrong.
        """
        return [schedule.definition(app) for schedule in self._schedules.values()]

    # --- The store ------------------------------------------------------------------------------

    def queue(self, name: str | None = None) -> Queue:
        """Return a queue of the app's store, to look into it or to move tasks; it is closed with the app.

        >>> app.queue("emails").stats().dead                                   # doctest: +SKIP
        """
        name = name or self.default_queue
        if name not in self._queues:
            found = self.configured(name)
            installed_plugins().load_observers(found.observers)  # asked for headers before the store is open
            self._queues[name] = Queue.opened_by(
                self.store.lend, name, found.defaults, open_within=found.open_within
            )
        return self._queues[name]

    def configured(self, queue: str | None = None) -> Configured:
        """Return what holds for the tasks of a queue, and what opens the store.

        Raises:
            ConfigError: no URL is given anywhere, or a URL, a key or a value is wrong.
        """
        return configured(self._url, check_queue_name(queue or self.default_queue), self._options)

    def use(self, url: str | StoreURL) -> None:
        """Use another store than the app was made for: what ``distqueue work -u URL`` does.

        What this process has open is closed.
        """
        self.close()
        self._url = url

    @contextmanager
    def testing(self) -> Iterator[AppTester]:
        """Keep tasks in memory for the time of a test, in which time stands still until it is advanced.

        What this process has open of the app's own store is closed before; see
        ``docs/howto/test-your-tasks.md``.

        >>> with app.testing() as jobs:                                        # doctest: +SKIP
        ...     sign_up("a@example.org")
        ...     jobs.assert_enqueued(send_email, "a@example.org")
        ...     jobs.run_until_empty()
        """
        from distqueue.testing import AppTester  # which nobody else needs

        self.close()
        url, store = self._url, self.store
        with AppTester(self) as tester:
            self._url, self.store = tester.url, Store(tester.lend)
            try:
                yield tester
            finally:
                self.close()
                self._url, self.store = url, store

    def close(self) -> None:
        """Close the store in this process. To use the app again opens it again."""
        queues, self._queues = self._queues, {}
        for queue in queues.values():
            queue.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
