"""Connections to receivers of webhooks: only to public addresses, unless others are allowed."""

import asyncio
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore
import httpx

from resolvers.rules.addresses import is_public

# For each phase of a request. The sender limits the whole.
SECONDS = 15.0
# Above the most sends that a process has in flight, each with a connection of its own.
MOST_CONNECTIONS = 400


class NoPublicAddress(httpcore.ConnectError):
    """The name has no address, or one that is not public. Callers do not learn which of the two."""


class Outside(httpcore.AsyncNetworkBackend):
    """Connects to exactly the addresses that it has checked. All addresses of a name must be public."""

    def __init__(self, allow_private: bool) -> None:
        self.allow_private = allow_private
        self.inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await resolve(host, port)
        if not addresses or not (self.allow_private or all(map(is_public, addresses))):
            raise NoPublicAddress
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self.inner.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self.inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, or none if it does not resolve. Uses a thread of its own that is not joined at shutdown:
    the event loop has few threads for look-ups, and a name server that does not respond would occupy them all."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def tell(addresses: list[str]) -> None:
        if not answer.done():
            answer.set_result(addresses)

    def look_up() -> None:
        addresses: list[str] = []
        with suppress(OSError, UnicodeError):
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(info[4][0]) for info in entries))
        with suppress(RuntimeError):  # the loop has ended in the meantime
            loop.call_soon_threadsafe(tell, addresses)

    threading.Thread(target=look_up, name="resolver", daemon=True).start()
    return await answer


def new_client(allow_private: bool) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=20)
    transport = httpx.AsyncHTTPTransport(trust_env=False, limits=limits)
    transport._pool._network_backend = Outside(allow_private)  # noqa: SLF001 - httpx has no public way to it
    return httpx.AsyncClient(transport=transport, timeout=SECONDS, follow_redirects=False, trust_env=False)
