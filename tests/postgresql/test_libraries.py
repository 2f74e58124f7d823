"""Puts in the application's transaction, whichever library its connection is of."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, Final, Protocol

import asyncpg
import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from distqueue import App, AsyncQueue, Queue
from distqueue.errors import PayloadMismatch, Unsupported


class Blocking(Protocol):
    """A connection that blocks."""

    def commit(self) -> None: ...
    def rollback(self) -> None: ...


@contextmanager
def of_psycopg(url: str) -> Iterator[Blocking]:
    with psycopg.connect(url) as connection:
        yield connection


@contextmanager
def of_sqlalchemy(url: str) -> Iterator[Blocking]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


@contextmanager
def of_a_session(url: str) -> Iterator[Blocking]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with Session(engine) as session:
        yield session


@contextmanager
def of_a_scoped_session(url: str) -> Iterator[Blocking]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    session = scoped_session(sessionmaker(engine))
    yield session
    session.remove()


BLOCKING: Final = (of_psycopg, of_sqlalchemy, of_a_session, of_a_scoped_session)


class Awaited(Protocol):
    """A connection for coroutines, and how its transaction ends."""

    @property
    def connection(self) -> object: ...
    @property
    def commit(self) -> Callable[[], Awaitable[None]]: ...
    @property
    def rollback(self) -> Callable[[], Awaitable[None]]: ...


class Ended:
    """A connection that ends its transactions itself."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.commit, self.rollback = connection.commit, connection.rollback


class Begun:
    """One of asyncpg's, whose transactions are begun by hand."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def begin(self) -> None:
        self.transaction = self.connection.transaction()
        await self.transaction.start()

    async def commit(self) -> None:
        await self.transaction.commit()
        await self.begin()

    async def rollback(self) -> None:
        await self.transaction.rollback()
        await self.begin()


@asynccontextmanager
async def of_async_psycopg(url: str) -> AsyncIterator[Awaited]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield Ended(connection)


@asynccontextmanager
async def of_asyncpg(url: str) -> AsyncIterator[Awaited]:
    connection = await asyncpg.connect(url)
    begun = Begun(connection)
    await begun.begin()
    yield begun
    await begun.transaction.rollback()
    await connection.close()


@asynccontextmanager
async def of_a_pool(url: str) -> AsyncIterator[Awaited]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        begun = Begun(connection)
        await begun.begin()
        yield begun
        await begun.transaction.rollback()


def of_async_sqlalchemy(driver: str) -> Callable[[str], AbstractAsyncContextManager[Awaited]]:
    @asynccontextmanager
    async def connected(url: str) -> AsyncIterator[Awaited]:
        engine = create_async_engine(make_url(url).set(drivername=f"postgresql+{driver}"))
        async with engine.connect() as connection:
            yield Ended(connection)
        await engine.dispose()

    return connected


def of_an_async_session(driver: str) -> Callable[[str], AbstractAsyncContextManager[Awaited]]:
    @asynccontextmanager
    async def connected(url: str) -> AsyncIterator[Awaited]:
        engine = create_async_engine(make_url(url).set(drivername=f"postgresql+{driver}"))
        async with AsyncSession(engine) as session:
            yield Ended(session)
        await engine.dispose()

    return connected


AWAITED: Final = {
    "psycopg": of_async_psycopg,
    "asyncpg": of_asyncpg,
    "asyncpg-pool": of_a_pool,
    "sqlalchemy-psycopg": of_async_sqlalchemy("psycopg_async"),
    "sqlalchemy-asyncpg": of_async_sqlalchemy("asyncpg"),
    "session-psycopg": of_an_async_session("psycopg_async"),
    "session-asyncpg": of_an_async_session("asyncpg"),
}


@pytest.fixture(params=BLOCKING, ids=lambda kind: kind.__name__)
def blocking(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Any]:
    """A connection that blocks, of each library."""
    kind: Callable[[str], AbstractContextManager[Blocking]] = request.param
    with kind(postgres_url) as connection:
        yield connection


def test_it_commits_and_rolls_back_with_the_application(url: str, blocking: Any) -> None:
    with Queue(url) as queue:
        queue.put("never", task_id="never", connection=blocking)
        blocking.rollback()
        queue.put("it", task_id="it", priority=3, delay=0, headers={"a": "ü"}, connection=blocking)
        queue.put_many([1, 2], group="g", connection=blocking)
        assert queue.stats().ready == 0
        with pytest.raises(PayloadMismatch):
            queue.put("other", task_id="it", connection=blocking)
        blocking.commit()
        assert [delivery.data for delivery in queue.get_many(9, timeout=0)] == ["it", 1]
        found = queue.find("it")
        assert found is not None
        assert found.headers == {"a": "ü"}


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", AWAITED)
async def test_coroutines_have_the_same(url: str, postgres_url: str, kind: str) -> None:
    async with AWAITED[kind](postgres_url) as its, AsyncQueue(url) as queue:
        await queue.put("never", task_id="never", connection=its.connection)
        await its.rollback()
        await queue.put(
            "it", task_id="it", priority=3, delay=0, headers={"a": "ü"}, connection=its.connection
        )
        await queue.put_many([1, 2], group="g", connection=its.connection)
        assert (await queue.stats()).ready == 0
        with pytest.raises(PayloadMismatch):
            await queue.put("other", task_id="it", connection=its.connection)
        await its.commit()
        assert [delivery.data for delivery in await queue.get_many(9, timeout=0)] == ["it", 1]
        found = await queue.find("it")
        assert found is not None
        assert found.headers == {"a": "ü"}


def enqueued(app: App) -> list[str]:
    """Whom the tasks of an app are for."""
    return [json.loads(bytes(task.data))["args"]["to"] for task in app.queue().peek(9)]


def test_an_app_enqueues_in_a_session(url: str, postgres_url: str) -> None:
    app = App(url)

    @app.task
    def send(to: str) -> None:
        """Never run here."""

    with of_a_session(postgres_url) as session:
        send.options(connection=session).enqueue("gone")
        session.rollback()
        send.options(connection=session).enqueue_many([("kept",), ("too",)])
        session.commit()
    assert enqueued(app) == ["kept", "too"]
    app.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["asyncpg", "session-asyncpg"])
async def test_an_app_enqueues_in_coroutines(url: str, postgres_url: str, kind: str) -> None:
    app = App(url)

    @app.task
    async def send(to: str) -> None:
        """Never run here."""

    async with AWAITED[kind](postgres_url) as its:
        await send.options(connection=its.connection).enqueue_async("gone")
        await its.rollback()
        await send.options(connection=its.connection).enqueue_async("kept")
        await its.commit()
    assert enqueued(app) == ["kept"]
    app.close()


def test_a_connection_that_does_not_fit_says_what_does(url: str, postgres_url: str) -> None:
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    async_engine = create_async_engine(make_url(postgres_url).set(drivername="postgresql+asyncpg"))
    other = create_engine("sqlite://", poolclass=NullPool)
    with Queue(url) as queue, other.connect() as of_sqlite:
        for wrong, says in (
            (object(), "psycopg"),
            (engine, "give a connection of it or a session"),
            (of_sqlite, "sqlite3"),
            (AsyncSession(async_engine), "AsyncQueue"),
            (async_engine.connect(), "AsyncQueue"),
        ):
            with pytest.raises(Unsupported, match=says):
                queue.put(1, connection=wrong)
        with (
            engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection,
            pytest.raises(Unsupported, match="no transaction is open"),
        ):
            queue.put(1, connection=connection)
        assert queue.stats().ready == 0


@pytest.mark.asyncio
async def test_a_connection_that_blocks_is_not_for_coroutines(url: str, postgres_url: str) -> None:
    async with AsyncQueue(url) as queue:
        with of_psycopg(postgres_url) as connection, pytest.raises(Unsupported, match="Use Queue"):
            await queue.put(1, connection=connection)
        connected = await asyncpg.connect(postgres_url)
        with pytest.raises(Unsupported, match="no transaction is open"):
            await queue.put(1, connection=connected)
        await connected.close()
        assert (await queue.stats()).ready == 0


def test_what_the_session_has_done_commits_together(url: str, postgres_url: str) -> None:
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    with Queue(url) as queue, Session(engine) as session:
        session.execute(text("CREATE TEMPORARY TABLE orders (name text)"))
        session.commit()
        with session.begin():
            session.execute(text("INSERT INTO orders VALUES ('first')"))
            with session.begin_nested():
                queue.put("first", connection=session)
        assert session.scalar(text("SELECT count(*) FROM orders")) == queue.stats().ready == 1
    engine.dispose()
