"""The pool of connections for compiled reads, with an overhead below the cost of a short statement.

asyncpg's own pool takes twice as long as such a statement, and waits for a dead server when a connection is returned.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from storage.connections import Connection, options_of
from storage.outages import Watch

# Prepared statements that a read connection keeps, and the longest of them in bytes: a plan of the largest documents
# takes megabytes of each server process.
STATEMENTS_KEPT, LONGEST_KEPT = 100, 32_768


def read_options(url: str, statement_timeout: float) -> dict[str, Any]:
    options = options_of(url, statement_timeout, default_transaction_read_only="on")
    return {"statement_cache_size": STATEMENTS_KEPT, "max_cacheable_statement_size": LONGEST_KEPT} | options


class Reads:
    """At most `size` connections. A new one is opened if none is idle, and the last one used is reused first."""

    def __init__(self, watch: Watch, options: dict[str, Any], size: int):
        self._watch, self._options = watch, options
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    async def ask(
        self, how: Callable[..., Any], statement: str, arguments: Sequence[Any], within: float | None = None
    ) -> Any:
        """The result of one of asyncpg's methods, within the time limit."""
        watch = self._watch
        end = watch.end(within)
        connection = await self._take(end)
        watch.ends[connection] = end
        try:
            return await how(connection, statement, *arguments)
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            raise  # a refused statement leaves a working connection
        except BaseException:
            connection.terminate()
            raise
        finally:
            del watch.ends[connection]
            self._idle.append(connection)
            self._places.release()

    async def _take(self, end: float) -> Connection:
        if self._places.locked() or not self._idle:
            async with self._watch.until(end):
                await self._places.acquire()
        else:
            await self._places.acquire()
        while self._idle:
            # A connection that ended in the meantime is known to be closed: no ping is needed.
            if not (connection := self._idle.pop()).is_closed():
                return connection
        try:
            async with self._watch.until(end):
                return await self._watch.connect(**self._options)
        except BaseException:
            self._places.release()
            raise
