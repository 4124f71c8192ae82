"""Receivers of webhooks on this machine, and what sends to them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from server.events.receivers import new_client
from server.events.webhooks import Sender
from storage.engine import Database
from tests.conftest import SEALING, Cluster, Registry, run_sql
from tests.support.documents import CREATE_VERSION

MAKE = """mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { secret
    webhook { id url actions active } } }"""
LOG = """query($id: ID!) { project(id: $id) { webhooks { id active
    disabledAt disabledReason failingSince previousSecretUntil deliveries(last: 100) { nodes {
    id status attempts responseStatus error nextAt event { id action } } } } } }"""
REPLAY = "mutation($input: ReplayDeliveryInput!) { replayDelivery(input: $input) { delivery { status attempts } } }"

Answer = Callable[[int], Awaitable[tuple[int, dict[str, str]]]]


@dataclass
class Receiver:
    """A server that notes what it is sent, and answers as it is told to: by the number of the request."""

    answer: Answer
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            headers = {}
            while line := (await reader.readline()).decode().strip():
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append((headers, body))
            status, more = await self.answer(len(self.got))
            head = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n{head}\r\n".encode())
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def receiving(answer: Answer) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    async with await asyncio.start_server(receiver.serve, "127.0.0.1", 0) as server:
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
        yield receiver


async def fine(number: int) -> tuple[int, dict[str, str]]:
    return 204, {}


@asynccontextmanager
async def sending(database: Cluster, **given: Any) -> AsyncIterator[Sender]:
    """What sends in a server process, on a way of its own to the database."""
    opened = Database(database.app_url, size=2)
    await opened.open()
    async with new_client(allow_private=True) as client:
        sender = Sender(opened, client, SEALING, **given)
        yield sender
        await sender.close()
    await opened.close()


async def send_due(sender: Sender) -> None:
    """Send all that is due, and wait until it is sent."""
    while await sender.start_due() or sender.sending:
        await asyncio.wait(list(sender.sending))


async def listen(registry: Registry, project: str, url: str, **more: Any) -> dict[str, Any]:
    made = await registry.ask(MAKE, input={"projectId": project, "url": url} | more)
    return dict(made["createWebhook"])


async def happen(registry: Registry, project: str, number: int = 1) -> None:
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "version": f"{number}.0.0"}
    await registry.ask(CREATE_VERSION, input=new)


async def deliveries(registry: Registry, project: str) -> list[dict[str, Any]]:
    (webhook,) = (await registry.ask(LOG, id=project))["project"]["webhooks"]
    return list(webhook["deliveries"]["nodes"])


async def now_due(database: Cluster, project: str) -> None:
    later = f"UPDATE webhook_deliveries SET next_at = now() WHERE status = 'PENDING' AND project_id = '{project}'"
    await run_sql(database.owner_url, later)
