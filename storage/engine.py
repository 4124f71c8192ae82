"""Connections: a pool of plain asyncpg connections for compiled reads, SQLAlchemy sessions for writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

READ_ONLY_SERVER = "25006"


# Prepared statements that a read connection keeps, and the longest of them in bytes: a plan of the largest documents
# takes megabytes of each server process.
STATEMENTS_KEPT, LONGEST_KEPT = 100, 32_768


def parse(url: str) -> tuple[URL, dict[str, int]]:
    """The URL for SQLAlchemy, and the statement caches that it may switch off (for PgBouncer), which are numbers."""
    given = make_url(url).set(drivername="postgresql+asyncpg")
    caches = {name: int(str(value)) for name, value in given.query.items() if name.endswith("statement_cache_size")}
    return given.difference_update_query(caches), caches


def make_engine(url: str, *, size: int = 10, statement_timeout: float = 30.0, **options: Any) -> AsyncEngine:
    """An engine whose connections speak UTC, refuse replicas and give up a statement after its time limit (seconds)."""
    target, caches = parse(url)
    engine = create_async_engine(
        target,
        pool_size=size,
        max_overflow=0,
        connect_args=caches
        | {
            "target_session_attrs": "primary",
            "timeout": 10,
            "server_settings": session_settings(statement_timeout),
        },
        **options,
    )
    event.listen(engine.sync_engine, "handle_error", _leave_a_demoted_server)
    event.listen(engine.sync_engine, "checkout", _leave_what_has_ended)
    return engine


def session_settings(statement_timeout: float) -> dict[str, str]:
    return {
        "application_name": "lineal",
        "timezone": "UTC",
        "jit": "off",
        "statement_timeout": str(int(statement_timeout * 1000)),
        "idle_in_transaction_session_timeout": "60000",
    }


def _leave_a_demoted_server(context: ExceptionContext) -> None:
    # A ping still passes on a primary that became a replica: only the refused write tells.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY_SERVER:
        context.is_disconnect = True


def _leave_what_has_ended(connection: Any, *_: Any) -> None:
    # The driver has heard of it already, while the connection lay in the pool: no ping is needed.
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


async def _keep_session(connection: Any) -> None:
    """Nothing to reset: reads leave no session state, and asyncpg's own reset costs a round trip."""


async def make_read_pool(url: str, *, size: int = 10, statement_timeout: float = 30.0) -> asyncpg.Pool:
    target, caches = parse(url)
    arguments, options = target.get_dialect()().create_connect_args(target)
    options = {"target_session_attrs": "primary", **options}
    return await asyncpg.create_pool(
        *arguments,
        **options,
        min_size=0,  # a worker must be able to start while the database is away for a moment
        max_size=size,
        reset=_keep_session,
        timeout=10,
        statement_cache_size=caches.get("statement_cache_size", STATEMENTS_KEPT),
        max_cacheable_statement_size=LONGEST_KEPT,
        server_settings=session_settings(statement_timeout) | {"default_transaction_read_only": "on"},
    )


async def lasting_connection(url: str) -> asyncpg.Connection:
    """A connection of its own, such as to be told of news by."""
    target, caches = parse(url)
    arguments, options = target.get_dialect()().create_connect_args(target)
    options = {"target_session_attrs": "primary", **options, **caches}
    return await asyncpg.connect(*arguments, **options, timeout=10, server_settings=session_settings(0))


class Reads:
    """The connections of compiled reads, which we keep between two statements.

    What asyncpg's pool does to hand a connection out and take it back costs twice what a short statement does; so only
    the first use of a connection, waiting for one, and all that goes wrong are left to the pool.
    """

    def __init__(self, pool: asyncpg.Pool):
        self.pool = pool
        self._idle: list[Any] = []
        self._waiting = 0

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        connection = await self._take()
        try:
            answer = await connection.fetchval(statement, *arguments)
        except BaseException:
            # It stops what may still run, and closes what broke.
            await self.pool.release(connection)
            raise
        if self._waiting:
            await self.pool.release(connection)
        else:
            self._idle.append(connection)
        return answer

    async def _take(self) -> Any:
        while self._idle:
            connection = self._idle.pop()
            # One that has ended meanwhile the pool has taken back by itself, and says so instead of answering.
            with suppress(asyncpg.InterfaceError):
                if not connection.is_closed():
                    return connection
        self._waiting += 1
        try:
            return await self.pool.acquire()
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        while self._idle:
            await self.pool.release(self._idle.pop())
        await self.pool.close()


class Database:
    """The one way of a server process to its data."""

    def __init__(self, url: str, *, size: int = 10, statement_timeout: float = 30.0):
        self.url, self.size, self.statement_timeout = url, size, statement_timeout

    async def open(self) -> None:
        self._engine = make_engine(self.url, size=self.size, statement_timeout=self.statement_timeout)
        self._reads = Reads(await make_read_pool(self.url, size=self.size, statement_timeout=self.statement_timeout))

    async def close(self) -> None:
        await self._reads.close()
        await self._engine.dispose()

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        return await self._reads.fetchval(statement, *arguments)

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._reads.pool.fetch(statement, *arguments)

    def connection(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._engine.connect()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session on the primary; what is to be kept must be committed."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are kept when the block ends well."""
        async with self.session() as session, session.begin():
            yield session

    async def listen(self, channels: Sequence[str], news: Callable[[], object]) -> None:
        """Call `news` whenever PostgreSQL notifies, on a connection of its own; returns when that ends."""
        connection = await lasting_connection(self.url)
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())

        def heard(*_: Any) -> None:
            news()

        try:
            for channel in channels:
                await connection.add_listener(channel, heard)
            news()
            await ended.wait()
        finally:
            with suppress(Exception):
                await connection.close(timeout=1)


async def driver_connection(session: AsyncSession) -> asyncpg.Connection:
    """The session's own asyncpg connection, inside its transaction."""
    connection: AsyncConnection = await session.connection()
    raw = await connection.get_raw_connection()
    driver: asyncpg.Connection = raw.driver_connection  # type: ignore[assignment]
    return driver


@asynccontextmanager
async def short_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """One connection for a command, closed behind it."""
    engine = make_engine(url, size=1, statement_timeout=0)
    try:
        yield engine
    finally:
        await engine.dispose()
