"""Subscriptions over a connection that lasts."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
import uvicorn
from websockets.asyncio.client import ClientConnection

from server.app import make_app
from server.http.connections import Connections
from server.http.gate import Gate
from server.http.protocols import protocols
from server.settings import Settings
from tests.conftest import Cluster, Registry, make_key

EVENTS = """subscription($project: ID!, $actions: [String!], $after: BigInt) {
    auditEvents(projectId: $project, actions: $actions, after: $after) { position action subject { id } seq } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(database: Cluster) -> AsyncIterator["Served"]:
    """The API on a port of its own: streams need a connection that lasts."""
    app = make_app(Settings(database_url=database.app_url))
    spoken = protocols(Connections(most=1_000, header_timeout=10, body_timeout=10))
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="on", **spoken)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
        yield Served(client, await make_key(database.app_url), app)
    server.should_exit = True
    await serving


@dataclass(frozen=True)
class Served(Registry):
    """A caller, and the application that it asks."""

    app: Gate


class Stream:
    """The events of one subscription, as they come."""

    def __init__(self, response: httpx.Response):
        self.response = response
        self.lines = response.aiter_lines()

    async def next(self, within: float = 5.0) -> dict[str, Any]:
        """The next event: its name, its id and its data."""
        event: dict[str, Any] = {}
        async with asyncio.timeout(within):
            async for line in self.lines:
                if line.startswith(":"):
                    continue
                if not line and event:
                    return event
                name, _, value = line.partition(": ")
                if name:
                    event[name.rstrip(":")] = json.loads(value) if name == "data" and value else value
        raise AssertionError(f"The stream has ended: {self.response.status_code}.")

    async def answer(self) -> dict[str, Any]:
        event = await self.next()
        assert event["event"] == "next", event
        return dict(event["data"]["data"]["auditEvents"])


@asynccontextmanager
async def subscribed(
    registry: Registry, query: str = EVENTS, headers: dict[str, str] | None = None, **variables: Any
) -> AsyncIterator[Stream]:
    sent = {"Authorization": f"Bearer {registry.key}", "Accept": "text/event-stream"} | (headers or {})
    body = {"query": query, "variables": variables}
    async with registry.client.stream("POST", "/graphql", json=body, headers=sent) as response:
        yield Stream(response)


def new(project: str, number: int = 1) -> dict[str, Any]:
    return {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "version": f"{number}.0.0"}


async def tell(connection: ClientConnection, type_: str, **more: Any) -> None:
    await connection.send(json.dumps({"type": type_} | more))
