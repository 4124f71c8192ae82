"""One time limit for everything that is asked of the database, and the knowledge that it answers nothing at all.

Whatever is not answered in time loses its connection at once: to release or to roll back would wait for the server
again. That alone may be a lock or a full pool, so it only raises a suspicion. A database that then does not greet us
within a second is away: all its connections are ended and everybody is refused, until it greets us again.
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

# How often what is under way is looked through, as a share of the time limit.
TICK = 1 / 20
# A greeting is sent this often, as what a dead link swallowed never returns, and waits this long for its answer.
GREETING_EVERY, GREETING_SECONDS = 0.25, 3.0
SUSPECTED_SECONDS = 1.0


class DatabaseAway(ConnectionError):
    """Refused without asking: the database answers nothing."""


class Watch:
    """Keeps the time limit of one process's connections; `ends` says until when each may be waited for."""

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
        """Until when something that is asked now may be waited for."""
        return self.now() + (self.seconds if within is None else min(within, self.seconds))

    async def connect(self, **options: Any) -> Connection:
        connection = await connect(**options)
        self._connections.add(connection)
        return connection

    @asynccontextmanager
    async def until(self, end: float) -> AsyncIterator[None]:
        """Around a wait for a connection: TimeoutError at its end, DatabaseAway while the database is away."""
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
        # One timer for all: to set and clear one for each read would cost it several microseconds.
        next_look = self.now() + TICK * self.seconds
        for connection in [connection for connection, end in self.ends.items() if end < next_look]:
            connection.terminate()
            self.suspect()
        self._tick = self._loop.call_at(next_look, self._sweep)

    def suspect(self) -> None:
        """Find out whether the database answers anything."""
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
            pass  # an answer like any other
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return
        answered.set()

    def _give_up(self) -> None:
        """Refuse everybody, and let go of all that waits for the database: none of it may keep a place."""
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
