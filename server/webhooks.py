"""Sends events to webhooks, by the Standard Webhooks specification (standardwebhooks.com).

Each process sends what is due and nobody else is sending. What is not answered with 2xx is tried again, after a growing
while; redirects are not followed. A target whose name leads to a private address is refused, unless that is allowed.
"""

import asyncio
import base64
import hashlib
import hmac
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore
import httpx
import orjson
from sqlalchemy import text

from resolvers.rules.webhooks import Outcome, outcome
from storage.engine import Database
from storage.feed import give_places
from storage.webhooks import EXPAND, FINISH, TAKE

AT_ONCE = 20
TIMEOUT_SECONDS = 15.0
# Longer than a request may take: who took a delivery and is gone has not sent it.
LEASE_SECONDS = 60.0

# Addresses of IPv4 as a network of IPv6 alone writes them.
NAT64 = IPv6Network("64:ff9b::/96")


class PrivateTarget(httpcore.ConnectError):
    """The target's name leads where nobody outside should send anything."""


class OutsideOnly(httpcore.AsyncNetworkBackend):
    """Connects to public addresses alone: the very ones that it has looked at."""

    def __init__(self) -> None:
        self.inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}.") from error
        addresses = [str(info[4][0]) for info in found]
        for address in addresses:
            if not is_public(address):
                raise PrivateTarget(f"{host} leads to {address}, which is no public address.")
        return await self.inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def is_public(address: str) -> bool:
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        translated = IPv4Address(int(parsed) & 0xFFFFFFFF) if parsed in NAT64 else None
        parsed = parsed.ipv4_mapped or parsed.sixtofour or translated or parsed
    return parsed.is_global and not parsed.is_multicast


def new_client(allow_private: bool) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(trust_env=False)
    if not allow_private:
        transport._pool._network_backend = OutsideOnly()  # noqa: SLF001 - httpx has no public way to it
    return httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)


@dataclass(frozen=True)
class Sender:
    database: Database
    client: httpx.AsyncClient

    async def send_due(self) -> int:
        """Send all that is due: how many requests that took."""
        async with self.database.transaction() as session:
            await give_places(session)
            await session.execute(text(EXPAND))
        sent = 0
        while taken := await self._take():
            await asyncio.gather(*map(self._send, taken))
            sent += len(taken)
        return sent

    async def _take(self) -> list[Mapping[str, Any]]:
        async with self.database.transaction() as session:
            rows = await session.execute(text(TAKE), {"most": AT_ONCE, "lease": LEASE_SECONDS})
            return [dict(row) for row in rows.mappings()]

    async def _send(self, delivery: Mapping[str, Any]) -> None:
        status, error = await self._post(delivery)
        result = outcome(status, error, delivery["attempts"])
        await self._finish(delivery, result)

    async def _post(self, delivery: Mapping[str, Any]) -> tuple[int | None, str | None]:
        """The status of the answer, or what went wrong before one."""
        body = body_of(delivery)
        headers = signed(delivery["secret"], delivery["event_id"], int(time.time()), body)
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self.client.stream("POST", delivery["url"], content=body, headers=headers) as response,
            ):
                return response.status_code, None
        except TimeoutError:
            return None, f"No answer within {TIMEOUT_SECONDS:g} seconds."
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return None, str(error)[:500] or type(error).__name__

    async def _finish(self, delivery: Mapping[str, Any], result: Outcome) -> None:
        values = result._asdict() | {"id": delivery["id"], "attempts": delivery["attempts"]}
        async with self.database.transaction() as session:
            await session.execute(text(FINISH), values)


def body_of(delivery: Mapping[str, Any]) -> bytes:
    """What is sent: the event as the audit log has it."""
    entry = orjson.loads(delivery["entry"])
    data = {name: entry[name] for name in ("id", "actor", "action", "subjectId", "projectId", "notes", "details")}
    data |= {"at": delivery["at"], "chain": delivery["chain"], "seq": delivery["seq"]}
    return orjson.dumps({"type": delivery["action"], "timestamp": delivery["at"], "data": data})


def signed(secret: str, id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b"%b.%d.%b" % (id_.encode(), timestamp, body), hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "Lineal",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
