"""Rate limits: each principal has a bucket of points that refills over time."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from resolvers.errors import RateLimited


@dataclass
class Bucket:
    left: float
    at: float


class Buckets:
    """The buckets of one process. Each holds at most `burst` points and gains `per_second`. 0 a second means no
    limit."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic):
        self.per_second, self.burst, self.clock = per_second, burst, clock
        self._buckets: LRUCache[str, Bucket] = LRUCache(10_000)

    def _bucket(self, who: str) -> Bucket:
        now = self.clock()
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = Bucket(self.burst, now)
        bucket.left = min(self.burst, bucket.left + (now - bucket.at) * self.per_second)
        bucket.at = now
        return bucket

    def spend(self, who: str, cost: int) -> None:
        """Charge for work that is already done, at most what is left: an outage puts no caller into debt."""
        if self.per_second:
            bucket = self._bucket(who)
            bucket.left = max(0.0, bucket.left - cost)

    def give_back(self, who: str, cost: int) -> None:
        if self.per_second:
            bucket = self._bucket(who)
            bucket.left = min(self.burst, bucket.left + cost)

    def left(self, who: str) -> int:
        return int(self._bucket(who).left) if self.per_second else int(self.burst)

    def take(self, who: str, cost: int) -> int:
        """Charge an operation's cost. Returns what is left. Raises RateLimited if there is not enough."""
        if not self.per_second:
            return int(self.burst)
        bucket = self._bucket(who)
        if bucket.left < cost:
            seconds, left = math.ceil((cost - bucket.left) / self.per_second), int(bucket.left)
            sentence = (
                f"The request costs {cost} points; you have {left} left. Try again in {seconds} s, or request less."
            )
            raise RateLimited(sentence, seconds, cost=cost, left=left)
        bucket.left -= cost
        return int(bucket.left)


@dataclass
class Bill:
    """The cost of one request for its principal, in points."""

    buckets: Buckets
    who: str
    points: int = 0
    # The points left after the last charge.
    left: int = 0

    def take(self, points: int) -> None:
        self.left = self.buckets.take(self.who, points)
        self.points += points

    def spend(self, points: int) -> None:
        self.buckets.spend(self.who, points)
        self.left = self.buckets.left(self.who)
        self.points += points

    def extensions(self) -> bytes:
        """The cost in the extensions of a response."""
        return b'"extensions":{"cost":{"requested":%d,"left":%d}}' % (self.points, self.left)
