"""How much is taken on at once, by the process and by each principal: requests, bodies on their way, and streams.

Whoever floods is refused with 429 while the places of the others stay free; a full process refuses with 503.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
                f"{who} already has {self.each} {self.what}, which is the limit; wait for some of them to end.",
                self.retry_after,
                limit=self.each,
            )
        if self.taken >= self.most:
            raise Unavailable(f"This process already has {self.most} {self.what}; try again later.", self.retry_after)
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
    async def turn(self, who: str) -> AsyncIterator[None]:
        turns = self._turns.get(who)
        if turns is None:
            turns = self._turns[who] = asyncio.Semaphore(self.each)
        self._asking[who] += 1
        try:
            async with turns:
                yield
        finally:
            self._asking[who] -= 1
            if not self._asking[who]:
                del self._asking[who], self._turns[who]


# From this cost on, in points, an operation is heavy: few of them run at once, so that light ones find a connection.
HEAVY_COST = 1_000


class Admission:
    """The places of one process. An open server knows nobody by name, so there the process's limits apply alone."""

    def __init__(self, settings: Settings):
        def places(what: str, most: int, each: int, retry_after: int) -> Places:
            return Places(what, most, most if settings.open else each, retry_after)

        requests, each = settings.max_in_flight, settings.max_in_flight_per_principal
        self.requests = places("requests in progress", requests, each, 1)
        self.bodies = places("request bodies on their way", 2 * requests, each, 1)
        self.streams = places("subscriptions open", settings.max_streams, settings.max_streams_per_principal, 10)
        connections = settings.pool_size
        share = connections if settings.open else max(1, connections * 6 // 10)
        self.reads, self.writes = Turns(share), Turns(share)
        # Who reads long documents or the schema's own fields keeps a thread busy.
        self.readers = Turns(1)
        self._heavy, self._all_heavy = Turns(1), asyncio.Semaphore(max(1, connections // 2))

    @asynccontextmanager
    async def heavy(self, who: str, cost: int) -> AsyncIterator[None]:
        """Wait for a turn with an operation of this cost, if it is heavy."""
        if cost < HEAVY_COST:
            yield
            return
        async with self._heavy.turn(who), self._all_heavy:
            yield
