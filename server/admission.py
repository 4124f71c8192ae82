"""How much is taken on at once, by the process and by each principal: requests, bodies on their way, and streams.

Whoever floods is refused with 429 while the places of the others stay free; a full process refuses with 503.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from resolvers.errors import RateLimited, Unavailable
from server.settings import Settings


@dataclass
class Places:
    """At most `most` at once, and `each` for one principal. `what` names them in a refusal, as a plural."""

    what: str
    most: int
    each: int
    retry_after: int
    taken: int = 0
    _by: Counter[str] = field(default_factory=Counter)

    def take(self, who: str) -> None:
        """Take a place until `leave`; RateLimited or Unavailable where there is none."""
        if self._by[who] >= self.each:
            raise RateLimited(
                f"{who} has reached the limit of {self.each} {self.what}. Wait until one of them ends.",
                self.retry_after,
                limit=self.each,
            )
        if self.taken >= self.most:
            raise Unavailable(
                f"This process has reached its limit of {self.most} {self.what}. Try again later.", self.retry_after
            )
        self.taken += 1
        self._by[who] += 1

    def leave(self, who: str) -> None:
        self.taken -= 1
        self._by[who] -= 1
        if not self._by[who]:
            del self._by[who]

    @contextmanager
    def place(self, who: str) -> Iterator[None]:
        self.take(who)
        try:
            yield
        finally:
            self.leave(who)


class Turns:
    """At most `each` at once for one principal; its others wait in the order in which they came."""

    def __init__(self, each: int):
        self.each = each
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._asking: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, who: str, within: float) -> AsyncIterator[float]:
        """Wait for a turn: how many of the seconds are left for it. Unavailable where it does not come in time."""
        turns = self._turns.get(who)
        if turns is None:
            turns = self._turns[who] = asyncio.Semaphore(self.each)
        self._asking[who] += 1
        try:
            left = await acquired(turns, within)
            try:
                yield left
            finally:
                turns.release()
        finally:
            self._asking[who] -= 1
            if not self._asking[who]:
                del self._asking[who], self._turns[who]


async def acquired(turns: asyncio.Semaphore, within: float) -> float:
    if not turns.locked():
        await turns.acquire()
        return within
    began = time.monotonic()
    try:
        async with asyncio.timeout(within):
            await turns.acquire()
    except TimeoutError:
        sentence = "Your other requests are using all of your connections. Send fewer at once, or try again."
        raise Unavailable(sentence, 5) from None
    # A little even for what has waited long, so that the statement itself is told to be late.
    return max(within / 10, within - (time.monotonic() - began))


# From this cost on, in points, an operation is heavy: few of them run at once, so that light ones find a connection.
HEAVY_COST = 1_000


class Admission:
    """The places of one process. An open server knows nobody by name, so there the process's limits apply alone."""

    def __init__(self, settings: Settings):
        def places(what: str, most: int, each: int, retry_after: int) -> Places:
            return Places(what, most, most if settings.open else each, retry_after)

        requests, each = settings.max_in_flight, settings.max_in_flight_per_principal
        self.requests = places("requests in progress", requests, each, 1)
        self.bodies = places("uploads in progress", 2 * requests, each, 1)
        streams, each = settings.max_streams, settings.max_streams_per_principal
        self.streams = places("open subscriptions", streams, each, 10)
        self.sockets = places("open WebSockets", streams, each, 10)
        connections = settings.pool_size
        share = connections if settings.open else max(1, connections * 6 // 10)
        self.seconds = settings.statement_timeout
        self._reads, self._writes, self._readers = Turns(share), Turns(share), Turns(1)
        self._heavy, self._all_heavy = Turns(1), asyncio.Semaphore(max(1, connections // 2))

    @asynccontextmanager
    async def read(self, who: str, cost: int) -> AsyncIterator[float]:
        """Wait for a turn to read: how many seconds are left for it."""
        if cost < HEAVY_COST:
            async with self._reads.turn(who, self.seconds) as left:
                yield left
            return
        async with self._heavy.turn(who, self.seconds) as first:
            then = await acquired(self._all_heavy, first)
            try:
                async with self._reads.turn(who, then) as left:
                    yield left
            finally:
                self._all_heavy.release()

    @asynccontextmanager
    async def write(self, who: str, cost: int, within: float) -> AsyncIterator[float]:
        """Wait for a turn to write something whose answer costs so much: how many of the seconds are left for it."""
        if cost < HEAVY_COST:
            async with self._writes.turn(who, within) as left:
                yield left
            return
        async with self._heavy.turn(who, within) as then, self._writes.turn(who, then) as left:
            yield left

    def compute(self, who: str) -> AbstractAsyncContextManager[float]:
        """Wait for a turn to keep a thread busy, as reading a long document or the schema's own fields does."""
        return self._readers.turn(who, self.seconds)
