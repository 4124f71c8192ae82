"""How much is taken on at once, by the process and by each principal: requests, bodies on their way, and streams.

Whoever floods is refused with 429 while the places of the others stay free; a full process refuses with 503.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
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


class Admission:
    """The places of one process. An open server knows nobody by name, so there the process's limits apply alone."""

    def __init__(self, settings: Settings):
        def places(what: str, most: int, each: int, retry_after: int) -> Places:
            return Places(what, most, most if settings.open else each, retry_after)

        requests, each = settings.max_in_flight, settings.max_in_flight_per_principal
        self.requests = places("requests in progress", requests, each, 1)
        self.bodies = places("request bodies on their way", 2 * requests, each, 1)
        self.streams = places("subscriptions open", settings.max_streams, settings.max_streams_per_principal, 10)
