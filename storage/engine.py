"""The database access of a server process: compiled reads on asyncpg, writes as SQLAlchemy sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from storage.connections import CONNECT_SECONDS, Connection, connect, options_of, parse, session_settings
from storage.outages import Watch
from storage.reads import Reads, read_options

READ_ONLY_SERVER = "25006"
# PostgreSQL cancels a statement a little before our own limit, so that a working database reports the timeout itself.
OF_THE_LIMIT = 0.9


def make_engine(
    url: str,
    *,
    size: int = 10,
    statement_timeout: float = 0.0,
    connect: Callable[..., Any] = connect,
    **options: Any,
) -> AsyncEngine:
    """An engine whose connections use UTC, refuse replicas and cancel a statement after its time limit (seconds)."""
    target, caches = parse(url)
    engine = create_async_engine(
        target,
        pool_size=size,
        max_overflow=0,
        connect_args=caches
        | {
            "async_creator_fn": connect,
            "target_session_attrs": "primary",
            "timeout": CONNECT_SECONDS,
            "server_settings": session_settings(statement_timeout),
        },
        **options,
    )
    event.listen(engine.sync_engine, "handle_error", _leave_a_demoted_server)
    event.listen(engine.sync_engine, "checkout", _leave_what_has_ended)
    return engine


def _leave_a_demoted_server(context: ExceptionContext) -> None:
    # A ping still succeeds on a primary that became a replica. Only a refused write reveals it.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY_SERVER:
        context.is_disconnect = True


def _leave_what_has_ended(connection: Any, *_: Any) -> None:
    # The driver already noticed it while the connection was in the pool: no ping is needed.
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


class Database:
    """A server process's access to its database, within one time limit.

    The limit covers the wait for a connection, all statements and the end of the transaction. DRIVER_ERRORS are raised.
    """

    def __init__(self, url: str, *, size: int = 10, statement_timeout: float = 10.0):
        self.url, self.size, self.statement_timeout = url, size, statement_timeout

    async def open(self) -> None:
        """Prepare without connecting: a process must be able to start while the database is briefly unavailable."""
        statement_timeout = OF_THE_LIMIT * self.statement_timeout
        self._watch = Watch(self.statement_timeout, options_of(self.url, statement_timeout))
        self._reads = Reads(self._watch, read_options(self.url, statement_timeout), self.size)
        self._engine = make_engine(
            self.url, size=self.size, statement_timeout=statement_timeout, connect=self._watch.connect
        )

    async def close(self) -> None:
        """Close without waiting. Running statements lose their connections."""
        await self._watch.close()
        await self._engine.dispose()

    async def fetchval(self, statement: str, *arguments: Any, within: float | None = None) -> Any:
        """The single value that a read returns. `within` is a shorter time limit in seconds."""
        return await self._reads.ask(Connection.fetchval, statement, arguments, within)

    async def fetch(self, statement: str, *arguments: Any, within: float | None = None) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self._reads.ask(Connection.fetch, statement, arguments, within)
        return rows

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection to the primary. `seconds` is a time limit for work that may take longer than a request."""
        end = self._watch.now() + (seconds or self.statement_timeout)
        async with self._watch.until(end):
            connection = await self._engine.connect()
        driver = await _driver(connection)
        self._watch.ends[driver] = end
        try:
            yield connection
        except (asyncio.CancelledError, GeneratorExit):
            driver.terminate()  # before it is closed, which would wait for the server
            raise
        finally:
            try:
                await connection.close()
            finally:
                del self._watch.ends[driver]

    @asynccontextmanager
    async def session(self, within: float | None = None) -> AsyncIterator[AsyncSession]:
        """A session on the primary. Changes must be committed."""
        seconds = min(within or self.statement_timeout, self.statement_timeout)
        async with self.connection(seconds) as connection, AsyncSession(connection, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are committed when the block ends without an error."""
        async with self.session() as session, session.begin():
            yield session

    async def listen(self, channels: Sequence[str], news: Callable[[], object]) -> None:
        """Call `news` for each notification from PostgreSQL, on a connection of its own. Returns when that ends."""

        def heard(*_: Any) -> None:
            news()

        async with self._watch.until(self._watch.end()):
            connection = await self._watch.connect(**options_of(self.url, 0))
        try:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _: ended.set())
            async with self._watch.until(self._watch.end()):
                for channel in channels:
                    await connection.add_listener(channel, heard)
            news()
            await ended.wait()
        finally:
            connection.terminate()


async def _driver(connection: AsyncConnection) -> Connection:
    raw = await connection.get_raw_connection()
    driver: Connection = raw.driver_connection  # type: ignore[assignment]
    return driver


async def driver_connection(session: AsyncSession) -> Connection:
    """The session's own asyncpg connection, inside its transaction."""
    return await _driver(await session.connection())


@asynccontextmanager
async def short_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """One connection for a command, closed afterwards."""
    engine = make_engine(url, size=1)
    try:
        yield engine
    finally:
        await engine.dispose()
