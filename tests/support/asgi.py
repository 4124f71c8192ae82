"""Requests as a server hands them to the application, what they cost, and a database that makes one wait."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pytest
from graphql import get_introspection_query, parse

from tests.conftest import Cluster, Registry, connect

GRAPHQL = "application/graphql-response+json"


YARDSTICK = get_introspection_query()
PROMISE = 150  # yardsticks of processor time for whatever is refused: 0.1 s on a machine of 2024


READ = "{ projects(first: 1) { nodes { id } } }"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def error(self) -> dict[str, Any]:
        """The first error: a sentence and a code."""
        error: dict[str, Any] = json.loads(self.body)["errors"][0]
        assert len(error["message"]) > 10
        return {**error["extensions"], "message": error["message"]}


async def call(
    registry: Registry,
    body: bytes | Iterable[bytes] = b"",
    *,
    method: str = "POST",
    path: str = "/graphql",
    query_string: bytes = b"",
    headers: dict[str, str | None] | None = None,
    more_headers: Iterable[tuple[bytes, bytes]] = (),
) -> Reply:
    """One request as a server hands it over, chunk by chunk; a header that is None is left out."""
    given = {
        "host": "localhost",
        "authorization": f"Bearer {registry.key}",
        "content-type": "application/json",
        "accept": GRAPHQL,
    } | (headers or {})
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query_string,
        "root_path": "",
        "headers": [(n.encode(), v.encode("latin-1")) for n, v in given.items() if v is not None] + [*more_headers],
    }
    chunks: Iterator[bytes | None] = chain([body] if isinstance(body, bytes) else body, [None])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        for chunk in chunks:
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}
        # The client stays until it is answered.
        return await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app_of(registry)(scope, receive, send)
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], names, b"".join(message["body"] for message in sent[1:]))


def app_of(registry: Registry) -> Any:
    return registry.client._transport.app  # type: ignore[attr-defined]


def asked(query: str, **more: Any) -> bytes:
    return json.dumps({"query": query, **more}).encode()


def times(count: int, template: str) -> str:
    return " ".join(template.replace("#", str(place)) for place in range(count))


@pytest.fixture
def first_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Documents are not known already, and what the suite has on its heap is not for the server's collector to walk."""
    monkeypatch.setattr("server.http.documents.MAX_KEPT_LENGTH", -1)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def cost_of(registry: Registry, body: bytes, runs: int = 10, **how: Any) -> tuple[float, Reply]:
    """The least processor time of a few runs, in yardsticks."""
    costs: list[float] = []
    while len(costs) < runs and min(costs, default=PROMISE) >= PROMISE:
        began = time.process_time()
        reply = await call(registry, body, **how)
        costs.append((time.process_time() - began) / yardstick())
    return min(costs), reply


def yardstick() -> float:
    """Seconds of processor time that this machine takes, now, to parse the usual introspection query."""

    def once() -> float:
        began = time.process_time()
        parse(YARDSTICK)
        return time.process_time() - began

    return min(once() for _ in range(5))


@asynccontextmanager
async def locked_projects(database: Cluster) -> AsyncIterator[None]:
    """While the block runs, whoever reads or writes projects waits."""
    connection = await connect(database.owner_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE projects")
            yield
    finally:
        await connection.close()
