"""The load: a few keep-alive connections that each send the next request as soon as the last one is answered."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

SENT_HEAD = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json\r\n"
TIMEOUT = 30.0


class Failed(Exception):
    """A server answered something other than data."""


@dataclass
class Slice:
    """What was measured of one server during one slice of time; latencies in seconds."""

    latencies: list[float] = field(default_factory=list)
    elapsed: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.elapsed


def quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def post(path: str, body: bytes, key: str | None = None) -> bytes:
    """A request as it goes over the wire."""
    head = SENT_HEAD % path.encode()
    if key:
        head += b"authorization: Bearer %b\r\n" % key.encode()
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as these servers speak it: each answer has a Content-Length."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.head, self.missing, self.parts = b"", 0, list[bytes]()
        self.answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> "asyncio.Future[bytes]":
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        if not self.parts:
            data = self.head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.head = data
                return
            self.head, self.missing = data[:end], _content_length(data[:end])
            data = data[end + 4 :]
        self.parts.append(data)
        self.missing -= len(data)
        if self.missing <= 0:
            self._finish()

    def _finish(self) -> None:
        head, body, answer = self.head, b"".join(self.parts), self.answer
        self.head, self.parts, self.answer = b"", [], None
        assert answer is not None
        if head.startswith(b"HTTP/1.1 200") and body.startswith(b'{"data"') and b'"errors"' not in body[-3000:]:
            answer.set_result(body)
        else:
            answer.set_exception(Failed(f"{head.decode()}\n\n{body[:2000].decode()}"))

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None:
            self.answer.set_exception(Failed(f"The connection was closed: {error}"))


def _content_length(head: bytes) -> int:
    lower = head.lower()
    start = lower.index(b"content-length:") + len(b"content-length:")
    return int(lower[start:].split(b"\r\n", 1)[0])


async def connect(port: int) -> Connection:
    _, protocol = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return protocol


async def ask_once(port: int, request: bytes) -> bytes:
    connection = await connect(port)
    try:
        return await asyncio.wait_for(connection.ask(request), TIMEOUT)
    finally:
        connection.transport.close()


async def load(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Slice:
    """Ask as fast as the answers come, on so many connections, for so long."""
    opened = [await connect(port) for _ in range(connections)]
    measured, begin = Slice(), time.perf_counter()
    upcoming = itertools.cycle(requests)
    try:
        await asyncio.gather(*(_ask_on(each, upcoming, begin + seconds, measured) for each in opened))
    finally:
        for each in opened:
            each.transport.close()
    measured.elapsed = time.perf_counter() - begin
    return measured


async def _ask_on(connection: Connection, upcoming: Iterator[bytes], until: float, measured: Slice) -> None:
    now = time.perf_counter()
    while now < until:
        await connection.ask(next(upcoming))
        then, now = now, time.perf_counter()
        measured.latencies.append(now - then)
