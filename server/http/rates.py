"""How much a principal may ask for: a bucket of cost each, that fills again with time."""

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
    """One process's buckets. Each holds `burst` and gains `per_second`, both in objects that an operation may answer;
    with 0 a second nothing is limited."""

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
        """Take the cost of what has been done already, or all that is left: nobody is in debt by an outage."""
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
        """Take an operation's cost; what is left. RateLimited where there is not enough."""
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
    """What one request costs its principal, in points."""

    buckets: Buckets
    who: str
    points: int = 0
    # After the last of them.
    left: int = 0

    def take(self, points: int) -> None:
        self.left = self.buckets.take(self.who, points)
        self.points += points

    def spend(self, points: int) -> None:
        self.buckets.spend(self.who, points)
        self.left = self.buckets.left(self.who)
        self.points += points

    def extensions(self) -> bytes:
        """What an answer says of it."""
        return b'"extensions":{"cost":{"requested":%d,"left":%d}}' % (self.points, self.left)
