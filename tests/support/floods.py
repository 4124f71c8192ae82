"""Floods of one principal, from a process of its own: `python -m tests.support.floods <kind> <port> <key> <seconds>`.

Each is bounded in connections and time, and sent to this machine alone. What was answered is printed as JSON: how often
each status, and each close code of WebSockets, came.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import count

import websockets
from websockets.typing import Subprotocol

HOST = "127.0.0.1"
# Whoever is refused tries again after a moment, as a client in a loop does.
PAUSE = 0.02
NUMBERS = count()


class Connection:
    """One connection, kept alive, that sends plain requests and reads answers to their ends."""

    def __init__(self, port: int, key: str):
        self.port, self.key = port, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def head(self, length: int) -> bytes:
        return (
            f"POST /graphql HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    async def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self.port, limit=2**20)
        return self._streams

    async def post(self, query: str, **variables: object) -> int:
        """The status of the answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        try:
            reader, writer = await self.streams()
            writer.write(self.head(len(body)) + body)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            left = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            while left:
                left -= len(await reader.read(min(left, 2**20)) or b"x" * left)
            return int(head.split()[1])
        except (OSError, asyncio.IncompleteReadError):
            self._streams = None
            return 0

    def close(self) -> None:
        if self._streams:
            self._streams[1].transport.abort()

    async def drip(self) -> None:
        """Announce a body and send it byte by byte."""
        try:
            _, writer = await self.streams()
            writer.write(self.head(100_000) + b"{")
            while not writer.is_closing():
                await asyncio.sleep(1)
                writer.write(b" ")
                await writer.drain()
        except OSError:
            pass


async def posting(ask: Callable[[Connection], object], port: int, key: str, seconds: float, told: Counter[str]) -> None:
    connection, ends = Connection(port, key), time.monotonic() + seconds
    while time.monotonic() < ends:
        status = await ask(connection)  # type: ignore[misc]
        told[str(status)] += 1
        if status != 200:
            await asyncio.sleep(PAUSE)
    connection.close()


def introspecting(connection: Connection) -> object:
    """A document that nobody has sent before."""
    fields = "name description fields { name description args { name description type { name } } type { name } }"
    return connection.post(f"{{ a{next(NUMBERS)}: __schema {{ types {{ {fields} }} }} }}")


def dearest(connection: Connection) -> object:
    """Some 19,000 points of cards, texts and features."""
    card = "modelCard { markdown completeness } features description"
    page = f"versions(first: 80) {{ nodes {{ id {card} }} }}"
    return connection.post(f'{{ a: model(id: "model_noise") {{ {page} b: {page.replace("id", "id stage")} }} }}')


def combining(connection: Connection) -> object:
    """A text of nothing but combining marks, unordered, as long as the body allows."""
    mutation = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }"
    return connection.post(
        mutation, input={"projectId": "proj_noise", "name": "N", "description": "\u0301\u0323" * 70_000}
    )


def new_documents(connection: Connection) -> object:
    """Long documents that nobody has sent before."""
    number = next(NUMBERS)
    fields = " ".join(f'a{place}_{number}: metric(name: "m{place}")' for place in range(90))
    return connection.post(f'{{ version(modelId: "model_noise", version: "1.0.0") {{ {fields} }} }}')


def plain(connection: Connection) -> object:
    return connection.post('{ version(modelId: "model_noise", version: "1.0.0") { id stage } }')


async def sockets(port: int, key: str, seconds: float, told: Counter[str], number: int = 2_000) -> None:
    """WebSockets that are opened and kept."""

    async def keep() -> None:
        try:
            async with websockets.connect(
                f"ws://{HOST}:{port}/graphql",
                subprotocols=[Subprotocol("graphql-transport-ws")],
                proxy=None,
                open_timeout=30,
            ) as socket:
                init = {"type": "connection_init", "payload": {"authorization": f"Bearer {key}"}}
                await socket.send(json.dumps(init))
                await socket.recv()
                told["acknowledged"] += 1
                await socket.wait_closed()
        except websockets.ConnectionClosed as closed:
            told[f"closed {closed.rcvd.code if closed.rcvd else ''}"] += 1
        except (OSError, websockets.WebSocketException, TimeoutError) as error:
            told[type(error).__name__] += 1

    await until(seconds, [keep() for _ in range(number)])


async def slow_bodies(port: int, key: str, seconds: float, told: Counter[str], number: int = 501) -> None:
    await until(seconds, [Connection(port, key).drip() for _ in range(number)])
    told["dripped"] += number


async def until(seconds: float, working: list) -> None:  # type: ignore[type-arg]
    tasks = [asyncio.create_task(each) for each in working]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


KINDS = {
    "introspection": introspecting,
    "dearest query": dearest,
    "combining marks": combining,
    "new documents": new_documents,
    "plain reads": plain,
}


async def main(kind: str, port: int, key: str, seconds: float) -> None:
    told: Counter[str] = Counter()
    if kind in KINDS:
        await asyncio.gather(*(posting(KINDS[kind], port, key, seconds, told) for _ in range(8)))
    elif kind == "WebSockets":
        await sockets(port, key, seconds, told)
    else:
        await slow_bodies(port, key, seconds, told)
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
