"""How much work is accepted at once, by the process and for each principal: requests, incoming bodies and streams.

A principal that sends too much is refused with 429, while the places of the others stay free. A full process refuses
with 503.
"""

import asyncio
import time
from collections import Counter, deque
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
        """Take a place until `leave`. Raises RateLimited or Unavailable if none is free."""
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
    """At most `each` at once for one principal. Its other requests wait in the order of their arrival."""

    def __init__(self, each: int):
        self.each = each
        self.taken: dict[str, int] = {}
        self.waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def turn(self, who: str, within: float) -> "Turn":
        """Wait for a turn, in an `async with` that returns how many of the seconds are left. Raises Unavailable if the
        turn does not come in time."""
        return Turn(self, who, within)

    async def wait(self, who: str, within: float) -> float:
        coming: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(who, deque()).append(coming)
        began = time.monotonic()
        try:
            async with asyncio.timeout(within):
                await coming
        except BaseException as error:
            if coming.done() and not coming.cancelled():
                self.leave(who)  # the turn came just now and will not be used
            if isinstance(error, TimeoutError):
                raise late() from None
            raise
        return left_of(within, began)

    def leave(self, who: str) -> None:
        """Pass the turn to the next waiting request, or free it."""
        queue = self.waiting.get(who)
        while queue:
            if not (coming := queue.popleft()).done():
                coming.set_result(None)
                return
        self.waiting.pop(who, None)
        self.taken[who] -= 1
        if not self.taken[who]:
            del self.taken[who]


class Turn:
    """A turn while it is waited for and held. A class, because every read uses one."""

    __slots__ = ("turns", "who", "within")

    def __init__(self, turns: Turns, who: str, within: float):
        self.turns, self.who, self.within = turns, who, within

    async def __aenter__(self) -> float:
        turns, who = self.turns, self.who
        taken = turns.taken.get(who, 0)
        if taken < turns.each:
            turns.taken[who] = taken + 1
            return self.within
        return await turns.wait(who, self.within)

    async def __aexit__(self, *_: object) -> None:
        self.turns.leave(self.who)


def late() -> Unavailable:
    sentence = "Your other requests are using your whole share of this process. Send fewer at once, or try again."
    return Unavailable(sentence, 5)


def left_of(within: float, began: float) -> float:
    # A little even after a long wait, so that the statement itself reports the timeout.
    return max(within / 10, within - (time.monotonic() - began))


# From this cost on, in points, an operation is heavy. Few of them run at once, so that light ones get a connection.
HEAVY_COST = 1_000


class Admission:
    """The places of one process. An open server does not identify callers, so only the process's limits apply there."""

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

    def read(self, who: str, cost: int) -> AbstractAsyncContextManager[float]:
        """Wait for a turn to read. Returns how many seconds are left for it."""
        return self._reads.turn(who, self.seconds) if cost < HEAVY_COST else self._heavily(self._reads, who)

    def write(self, who: str, cost: int, within: float) -> AbstractAsyncContextManager[float]:
        """Wait for a turn to write, given the cost of the response."""
        return self._writes.turn(who, within) if cost < HEAVY_COST else self._heavily(self._writes, who, within)

    @asynccontextmanager
    async def _heavily(self, turns: Turns, who: str, within: float | None = None) -> AsyncIterator[float]:
        async with self._heavy.turn(who, within or self.seconds) as first:
            began = time.monotonic()
            try:
                async with asyncio.timeout(first):
                    await self._all_heavy.acquire()
            except TimeoutError:
                raise late() from None
            try:
                async with turns.turn(who, left_of(first, began)) as left:
                    yield left
            finally:
                self._all_heavy.release()

    def compute(self, who: str) -> AbstractAsyncContextManager[float]:
        """Wait for a turn to occupy a thread, for example to parse a long document or to run introspection."""
        return self._readers.turn(who, self.seconds)
