"""Limits how many invalid keys and tokens one network address may send. Further ones get 429.

Only failures are counted, and every key is looked up, whatever came before it: a valid one from the same address works.
"""

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from resolvers.errors import RateLimited
from server.http.rates import Buckets

AT_ONCE = 30
PER_SECOND = 0.5


class Attempts:
    """One process's count of failures, by the address of the connection's other end; proxies' headers are not read."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._left = Buckets(PER_SECOND, AT_ONCE, clock)

    def failed(self, address: str) -> None:
        """Count a failure. Raises RateLimited if there were too many."""
        try:
            self._left.take(network_of(address), 1)
        except RateLimited as limited:
            raise RateLimited(
                f"Your address sent too many invalid keys or tokens. Try again in {limited.retry_after} s; a valid one"
                " is always accepted.",
                limited.retry_after,
            ) from None


def network_of(address: str) -> str:
    """The network that one attacker controls: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or ip_network((int(parsed), 64), strict=False))
