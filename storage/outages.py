"""One time limit for all use of the database, and the detection of outages.

A request without a response in time loses its connection at once, as a release or rollback would wait for the server
again. A lock or a full pool can also cause this, so it only raises a suspicion. If the database then does not accept a
test connection within a second, it counts as unavailable: all its connections are ended and all requests are refused,
until it accepts one again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakSet

import asyncpg

from storage.connections import Connection, connect

logger = logging.getLogger("lineal.database")

# The interval between checks of running statements, as a share of the time limit.
TICK = 1 / 20
# A test connection is started this often, because packets lost on a dead link never return, and waits this long for a
# response.
GREETING_EVERY, GREETING_SECONDS = 0.25, 3.0
SUSPECTED_SECONDS = 1.0


class DatabaseAway(ConnectionError):
    """Refused without a statement: the database does not respond."""


class Watch:
    """Enforces the time limit of one process's connections. `ends` holds the end of each wait."""

    def __init__(self, seconds: float, greeting: dict[str, Any]):
        self.seconds = seconds
        self.is_away = False
        self.ends: dict[Connection, float] = {}
        self._greeting = greeting
        self._connections: WeakSet[Connection] = WeakSet()
        self._waits: set[asyncio.Timeout] = set()
        self._looking: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._tick = self._loop.call_later(TICK * seconds, self._sweep)

    def end(self, within: float | None = None) -> float:
        """The end of the wait for a statement that starts now."""
        return self.now() + (self.seconds if within is None else min(within, self.seconds))

    async def connect(self, **options: Any) -> Connection:
        connection = await connect(**options)
        self._connections.add(connection)
        return connection

    @asynccontextmanager
    async def until(self, end: float) -> AsyncIterator[None]:
        """Around a wait for a connection. Raises TimeoutError at its end, and DatabaseAway while the database is
        unavailable."""
        if self.is_away:
            raise DatabaseAway("The database does not answer.")
        try:
            async with asyncio.timeout_at(end) as limit:
                self._waits.add(limit)
                try:
                    yield
                finally:
                    self._waits.discard(limit)
        except TimeoutError:
            self.suspect()
            raise

    def _sweep(self) -> None:
        # One timer for all: a timer for each read would cost it several microseconds.
        next_look = self.now() + TICK * self.seconds
        for connection in [connection for connection, end in self.ends.items() if end < next_look]:
            connection.terminate()
            self.suspect()
        self._tick = self._loop.call_at(next_look, self._sweep)

    def suspect(self) -> None:
        """Find out whether the database responds at all."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        answered, began = asyncio.Event(), self.now()
        greetings: list[asyncio.Task[None]] = []
        try:
            while not answered.is_set():
                greetings = [task for task in greetings if not task.done()]
                greetings.append(asyncio.create_task(self._greet(answered)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(GREETING_EVERY):
                        await answered.wait()
                if not answered.is_set() and not self.is_away and self.now() - began >= SUSPECTED_SECONDS:
                    self._give_up()
        finally:
            for task in greetings:
                task.cancel()
            await asyncio.gather(*greetings, return_exceptions=True)
        if self.is_away:
            self.is_away = False
            logger.warning("The database answers again.")

    async def _greet(self, answered: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                connection = await connect(**self._greeting)
                try:
                    await connection.fetchval("SELECT 1")
                finally:
                    connection.terminate()
        except asyncpg.TooManyConnectionsError:
            pass  # an error is a response too
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return
        answered.set()

    def _give_up(self) -> None:
        """Refuse all requests, and release everything that waits for the database, so that it occupies no place."""
        self.is_away = True
        logger.error("The database does not answer; everything is refused until it does.")
        self.end_all()
        for limit in self._waits:
            if not limit.expired():
                limit.reschedule(self.now())

    def end_all(self) -> None:
        for connection in list(self._connections):
            connection.terminate()

    async def close(self) -> None:
        self._tick.cancel()
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        self.end_all()
